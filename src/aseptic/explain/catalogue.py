"""Every explainer by its name, as findings and the records say it."""

from aseptic.core.registry import Registry
from aseptic.explain.base import Explainer

EXPLAINERS: Registry[Explainer] = Registry(
    "explainer",
    {
        "gradcam": "aseptic.explain.gradcam:gradcam",
        "gradcam-skipping": "aseptic.explain.gradcam_skipping:gradcam_skipping",
        "gradcampp": "aseptic.explain.gradcampp:gradcampp",
        "integrated-gradients": "aseptic.explain.integrated_gradients:integrated_gradients",
        "occlusion": "aseptic.explain.occlusion:occlusion",
        "saliency": "aseptic.explain.saliency:saliency",
    },
)
