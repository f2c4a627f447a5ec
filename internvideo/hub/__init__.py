"""Models as files: opened, saved, imported, exported and published."""

from internvideo.hub.by_id import about_hub_model, fetch_from_hub, is_hub_id
from internvideo.hub.export import export_model
from internvideo.hub.exported import open_exported
from internvideo.hub.generated import is_playground, saw_generated_videos
from internvideo.hub.importing import Imported, ImportOptions, import_weights
from internvideo.hub.open import (
    checkpoint_of,
    load_model,
    load_pretrained,
    load_recogniser,
    load_video_text,
)
from internvideo.hub.pretrained import (
    Preprocessing,
    Pretrained,
    add_provenance,
    model_description,
    save_pretrained,
)
from internvideo.hub.push import card_of, push_to_hub
from internvideo.hub.released import from_pretrained, import_release

__all__ = [
    "Imported",
    "Preprocessing",
    "Pretrained",
    "ImportOptions",
    "about_hub_model",
    "add_provenance",
    "card_of",
    "checkpoint_of",
    "export_model",
    "fetch_from_hub",
    "from_pretrained",
    "import_release",
    "import_weights",
    "is_hub_id",
    "is_playground",
    "load_model",
    "load_pretrained",
    "load_recogniser",
    "load_video_text",
    "model_description",
    "open_exported",
    "push_to_hub",
    "save_pretrained",
    "saw_generated_videos",
]
