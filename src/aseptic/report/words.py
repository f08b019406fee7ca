"""How numbers and names are written on the page."""

from aseptic.core.record import Finding

SHARES = frozenset(
    {
        "above",
        "accuracy",
        "accuracy_change",
        "accuracy_drop",
        "balanced_accuracy",
        "balanced_accuracy_change",
        "before",
        "before_opposite",
        "before_other",
        "before_point",
        "before_pooled",
        "centre_shift",
        "changed",
        "decoy",
        "decoy_error",
        "decoy_other",
        "error",
        "exact_match",
        "excess",
        "false_positives",
        "fooled",
        "hit",
        "hit_gain",
        "lost",
        "mass",
        "mass_gain",
        "missed",
        "only",
        "over_decoy",
        "overlap",
        "power",
        "recall",
        "recall_at_1fp",
        "renamed",
        "right",
        "sensitivity",
        "share",
        "source_recall_clean",
        "source_recall_triggered",
        "specificity",
        "standing",
        "success",
        "success_opposite",
        "success_other",
        "success_point",
        "success_pooled",
        "top_overlap",
        "tpr",
        "turned",
        "uniform",
        "vanished",
    }
)
"""Metrics that are written in per cent."""
POINTS = frozenset(
    {"accuracy_change", "accuracy_drop", "balanced_accuracy_change", "excess", "hit_gain", "mass_gain", "over_decoy"}
)
"""Of these, differences of shares, which are written in points."""

LARGE = 100
"""Numbers from here on are written without decimals."""
TINY = 0.0005
"""Numbers below would be written as 0.000, which they are not."""

NAMES = {
    "accuracy": "Accuracy",
    "accuracy_drop": "Accuracy lost",
    "auroc": "AUROC",
    "auroc_macro": "AUROC, mean over classes",
    "balanced_accuracy": "Balanced accuracy",
    "brier": "Brier score (0 is best)",
    "ap50": "Average precision",
    "centre_shift": "Shift of the centre, share of the diagonal",
    "changed": "Decision changed along",
    "dice": "Dice",
    "dice_drop": "Dice lost",
    "ece": "Expected calibration error (0 is best)",
    "exact_match": "Images with every finding right",
    "forward_backward": "Forward and backward passes per image",
    "invented": "Invented lesions, an image",
    "missed": "Missed lesions",
    "map": "mAP at 0.5 to 0.95",
    "map50": "mAP at overlap 0.5",
    "map50_drop": "mAP lost",
    "nll": "Negative log likelihood (0 is best)",
    "only": "Turned by this attack alone",
    "queries": "Questions until it was reached",
    "rank_correlation": "Rank correlation",
    "recall": "Recall",
    "recall_at_1fp": "Recall at 1 false positive an image",
    "renamed": "Taken for another class",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "standing": "Images that still stand",
    "success": "Attack success",
    "top_overlap": "Overlap of the tenth of pixels that count most",
    "turned": "Right decisions turned wrong",
    "vanished": "Vanished",
}
"""Metric to its name on the page."""

WORST = "worst"
"""Name of the worst case over all attacks, which is not an attack itself."""

ATTACKS = {
    "pgd": "PGD",
    "fgsm": "FGSM",
    WORST: "worst of all attacks",
    "apgd-ce": "APGD-CE",
    "apgd-dlr": "APGD-DLR",
    "apgd-t": "APGD-T",
    "autoattack": "AutoAttack",
    "bim": "BIM",
    "boundary": "Boundary",
    "alma-prox": "ALMA-prox",
    "cospgd": "CosPGD",
    "cw-l2": "CW-L2",
    "dag": "DAG",
    "dpatch": "DPatch",
    "tog": "TOG",
    "cw-linf": "CW-Linf",
    "ddn": "DDN",
    "deepfool": "DeepFool",
    "di-fgsm": "DI-FGSM",
    "fab": "FAB",
    "fab-t": "FAB-T",
    "fmn": "FMN",
    "hopskipjump": "HopSkipJump",
    "mi-fgsm": "MI-FGSM",
    "ni-fgsm": "NI-FGSM",
    "segpgd": "SegPGD",
    "si-fgsm": "SI-FGSM",
    "sia": "SIA",
    "simba": "SimBA",
    "square": "Square",
    "svre": "SVRE",
    "ti-fgsm": "TI-FGSM",
    "vmi-fgsm": "VMI-FGSM",
}
"""Attack to its name on the page, in the order in which they are shown."""

ATLAS = {
    "AML.T0015": "Evade AI Model",
    "AML.T0018": "Manipulate AI Model",
    "AML.T0020": "Poison Training Data",
    "AML.T0043": "Craft Adversarial Data",
    "AML.T0043.000": "Craft Adversarial Data: White-Box Optimization",
    "AML.T0043.001": "Craft Adversarial Data: Black-Box Optimization",
}
"""MITRE ATLAS technique to its name."""


def metric_name(metric: str) -> str:
    """Return the name of a metric as a reader knows it."""
    return NAMES.get(metric, metric.replace("_", " ").capitalize())


def attack_name(attack: str) -> str:
    """Return the name of an attack as a reader knows it."""
    return ATTACKS.get(attack, attack.replace("_", " "))


def grey(levels: float) -> str:
    """Return a budget in words.

    >>> grey(1.0), grey(0.25)
    ('1 grey level', '0.25 grey levels')
    """
    return f"{levels:g} grey level{'' if levels == 1 else 's'}"


def amount(value: float | None, metric: str, unit: str = "") -> str:
    """Return a number with its unit; shares in per cent.

    >>> amount(0.9433, "accuracy"), amount(0.9433, "auroc"), amount(None, "auroc"), amount(6.8, "cost", "passes")
    ('94.3 %', '0.943', 'not measured', '6.8 passes')
    >>> amount(3e-7, "brier")
    '<0.001'
    """
    if value is None:
        return "not measured"
    if metric.partition(":")[0] in SHARES and not unit:
        return _minus(f"{100 * value:.1f} {'points' if metric in POINTS else '%'}")
    if 0 < abs(value) < TINY and not unit:
        return "<0.001" if value > 0 else _minus(">-0.001")
    form = ".0f" if abs(value) >= LARGE else ".3f" if abs(value) <= 1 and not unit else ".3g"
    return f"{_minus(format(value, form))} {unit}".strip()


def _minus(text: str) -> str:
    """Return the text with a true minus sign, which does not break from its number; zero has none."""
    return text.replace("-0.0 ", "0.0 ").replace("-", "\u2212")


def interval(finding: Finding) -> str:
    """Return the ends of the 95 % interval, or that there is none."""
    if finding.value is None:
        return ""
    if finding.ci_low is None or finding.ci_high is None:
        return "no interval"
    low, high = (amount(end, finding.metric, finding.unit) for end in (finding.ci_low, finding.ci_high))
    unit = low.partition(" ")[2]
    return f"{low.removesuffix(f' {unit}') if unit else low} to {high}"


def count(finding: Finding) -> str:
    """Return how many images are behind the number."""
    return "" if finding.n is None else f"n = {finding.n:,}".replace(",", "\u202f")


def duration(seconds: float) -> str:
    """Return a time in words.

    >>> duration(4.25), duration(75.0), duration(7300.0)
    ('4.2 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:  # noqa: PLR2004 - seconds in a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def setting(value: object) -> str:
    """Return a value that a check looked at, without digits that mean nothing.

    >>> setting(0.6999956), setting([1.0, "a"]), setting(True)
    ('0.7', '[1, a]', 'True')
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(setting, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
