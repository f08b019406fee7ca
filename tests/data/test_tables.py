"""What a labels.csv may say, and what is said about one that is wrong."""

import math

import pytest

from aseptic.core.errors import InputError
from aseptic.data.load import load_data
from aseptic.data.pseudonyms import pseudonym


@pytest.fixture
def images(draw):
    """Four small PNGs called a to d."""
    return [draw(f"{name}.png") for name in "abcd"]


@pytest.mark.usefixtures("images")
class TestLabels:
    def test_names_become_numbers_in_alphabetical_order(self, table):
        data = load_data(table("file,label", "a.png,sick", "b.png,healthy", "c.png,sick"))
        assert (data.task, data.classes, data.targets.tolist()) == ("multiclass", ("healthy", "sick"), [1, 0, 1])
        assert data.ids == ("a.png", "b.png", "c.png")

    def test_explicit_classes_give_the_order_and_may_be_empty(self, table):
        path = table("file,label", "a.png,sick", "b.png,healthy")
        data = load_data(path, classes=["sick", "unclear", "healthy"])
        assert (data.classes, data.targets.tolist()) == (("sick", "unclear", "healthy"), [0, 2])

    def test_numbers_are_sorted_as_numbers(self, table):
        data = load_data(table("file,label", "a.png,10", "b.png,9", "c.png,2"))
        assert (data.classes, data.targets.tolist()) == (("2", "9", "10"), [2, 1, 0])

    def test_numbers_point_into_named_classes(self, table):
        data = load_data(table("file,label", "a.png,1", "b.png,0"), classes=["healthy", "sick"])
        assert data.targets.tolist() == [1, 0]

    @pytest.mark.parametrize(("label", "hint"), [("sik", ", did you mean 'sick'"), ("2", ""), ("-1", "")])
    def test_a_label_that_is_no_class_is_refused(self, table, label, hint):
        path = table("file,label", "a.png,sick", f"b.png,{label}")
        with pytest.raises(InputError, match=rf"label must be one of healthy, sick; got '{label}' in row 3{hint}"):
            load_data(path, classes=["healthy", "sick"])

    def test_a_blank_label_is_listed(self, table):
        data = load_data(table("file,label", "a.png,sick", "b.png,", "c.png,well"))
        assert data.ids == ("a.png", "c.png")
        assert [(one.file, one.reason) for one in data.unreadable] == [("b.png", "the label is blank in row 3")]

    def test_missing_files_are_listed(self, table):
        data = load_data(table("file,label", "a.png,x", "none.png,y"))
        assert data.unreadable[0].file == "none.png"
        assert data.unreadable[0].reason == "cannot be opened: No such file or directory"
        assert data.classes == ("x", "y")


@pytest.mark.usefixtures("images")
class TestFindings:
    HEADER = "file,label,Mass,Edema,age,view,smoker"
    ROWS = ("a.png,ill,1,0,57,PA,yes", "b.png,well,,-1,1,AP,no", "c.png,ill,0,1.0,0,PA,no")

    def test_columns_of_zeros_and_ones_win_over_the_label(self, table):
        data = load_data(table(self.HEADER, *self.ROWS))
        assert (data.task, data.classes) == ("multilabel", ("Mass", "Edema"))
        found = [[-1 if math.isnan(value) else value for value in row] for row in data.targets.tolist()]
        assert found == [[1, 0], [-1, -1], [0, 1]]
        assert "The columns Mass, Edema hold only 0, 1, -1 or nothing and were taken for findings" in data.notes[0]

    def test_a_task_decides_otherwise(self, table):
        data = load_data(table(self.HEADER, *self.ROWS), task="multiclass")
        assert (data.classes, data.targets.tolist()) == (("ill", "well"), [0, 1, 0])
        assert "Mass, Edema look like findings and were not used" in data.notes[0]

    def test_one_such_column_beside_a_label_is_no_finding(self, table):
        data = load_data(table("file,label,smoker", "a.png,ill,1", "b.png,well,0"))
        assert data.task == "multiclass"

    def test_one_such_column_alone_is(self, table):
        assert load_data(table("file,Mass", "a.png,1", "b.png,0")).classes == ("Mass",)

    def test_classes_choose_columns_in_their_order(self, table):
        data = load_data(table(self.HEADER, *self.ROWS), classes=["Edema"])
        assert (data.task, data.classes, data.targets[0].tolist()) == ("multilabel", ("Edema",), [0.0])
        assert "Edema were chosen as findings" in data.notes[0]

    def test_messages(self, table):
        path = table(self.HEADER, *self.ROWS)
        with pytest.raises(InputError, match=r"finding smoker must be 0, 1, -1 or nothing; got 'yes' in row 2"):
            load_data(path, classes=["Mass", "smoker"])
        with pytest.raises(InputError, match=r"columns of the table \(Mass, Edema\); got 'Edma', did you mean 'Edema'"):
            load_data(path, classes=["Edma"], task="multilabel")
        with pytest.raises(InputError, match=r"multilabel needs columns that hold only 0, 1, -1 or nothing, and none"):
            load_data(table("file,label", "a.png,x"), task="multilabel")
        with pytest.raises(InputError, match="multiclass needs a column label, got the columns file, Mass"):
            load_data(table("file,Mass", "a.png,1"), task="multiclass")
        with pytest.raises(InputError, match="segmentation needs a column mask, got the columns file, Mass"):
            load_data(table("file,Mass", "a.png,1"), task="segmentation")
        with pytest.raises(InputError, match="a table cannot hold boxes; give the COCO json"):
            load_data(table("file,Mass", "a.png,1"), task="detection")


@pytest.mark.usefixtures("images")
class TestRows:
    def test_patients_are_pseudonyms_and_groups_stand_in(self, table):
        lines = ("file,label,patient_id,group", "a.png,x,DOE,g1", "b.png,x,,g2", "c.png,x,,")
        data = load_data(table(*lines))
        assert data.patients == (pseudonym("patient", "DOE"), pseudonym("patient", "group g2"), None)
        assert "The patient of 1 images is not known; their group" in data.notes[1]

    def test_splits_and_their_other_names(self, table):
        data = load_data(
            table("file,label,split", "a.png,x,training", "b.png,y,Validation", "c.png,x,TEST", "d.png,y,")
        )
        assert [item.split for item in data.items] == ["train", "val", "test", None]
        assert load_data(table("file,label,split", "a.png,x,train", "b.png,y,test"), split="test").classes == ("x", "y")

    def test_a_mask_alone_means_segmentation(self, table):
        data = load_data(table("file,mask", "a.png,b.png", "c.png,", "d.png,none.png"))
        assert data.task == "segmentation"
        assert [item.mask and item.mask.name for item in data.items] == ["b.png", None]
        assert data.unreadable[0].reason == "the mask cannot be used: cannot be opened: No such file or directory"

    def test_no_labels(self, table):
        data = load_data(table("file,age", "a.png,50", "b.png,60"))
        assert (data.task, len(data)) == (None, 2)

    def test_frames(self, table):
        data = load_data(table("file,label,frame", "a.png,x,0", "b.png,y,3"))
        assert data.ids == ("a.png",)
        assert data.unreadable[0].reason == "the file has no frame 3"

    def test_files_outside_the_folder(self, table, tmp_path, draw):
        draw("elsewhere/e.png")
        (tmp_path / "in").mkdir()
        lines = ("file,label", "../elsewhere/e.png,x", f"{tmp_path}/a.png,y")
        data = load_data(table(*lines, name="in/labels.csv"))
        assert len(data.verify()) == 2

    @pytest.mark.parametrize(
        ("lines", "match"),
        [
            (["image,label", "a.png,x"], r"labels.csv must have a column file, got image, label"),
            (["file,x,x", "a.png,1,2"], r"must have distinct columns, got x twice"),
            (["file,label", "a.png,x,y"], r"must have 2 cells in each row, got 3 in row 2"),
            (["file,label", "a.png,x", "b.png,x", "a.png,y"], r"one row, and 'a.png' has row 2 and row 4"),
            (["file,label,split", "a.png,x,fold3"], r"split must be one of train, val, test; got 'fold3' in row 2"),
            (["file,label,frame", "a.png,x,first"], r"frame must be a whole number from 0, got 'first' in row 2"),
            (
                ["file,label,split,patient_id", "a.png,x,train,p", "b.png,x,test,p"],
                r"a patient must be in one split only, and 1 of 1 patients \(2 images\)",
            ),
        ],
    )
    def test_messages(self, table, lines, match):
        with pytest.raises(InputError, match=match):
            load_data(table(*lines))

    def test_a_table_in_another_encoding(self, table):
        path = table("file,label", "a.png,x")
        path.write_bytes("file,label\na.png,Überschuss".encode("utf-16"))
        with pytest.raises(InputError, match=r"labels.csv must be a csv file in UTF-8"):
            load_data(path)

    def test_a_byte_order_mark_is_no_part_of_a_column(self, table):
        path = table("File,Label", "a.png,x")
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert load_data(path).classes == ("x",)

    def test_a_table_without_rows(self, table):
        with pytest.raises(InputError, match="data must hold at least one image"):
            load_data(table("file,label"))
