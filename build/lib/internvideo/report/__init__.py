"""Pictures, tables and the self-contained HTML page of a run."""

from internvideo.report.answers import add_captions, add_multiple_choice
from internvideo.report.clip_strips import frames_to_show
from internvideo.report.coordination import (
    Reading,
    add_class_gains,
    add_gates,
    add_readings,
)
from internvideo.report.demo_report import DemoFindings, write_demo_report
from internvideo.report.images import enlarge, picture_strip, png_bytes, to_bytes
from internvideo.report.page import Page
from internvideo.report.plots import Series, Svg, bar_chart, heat_map, line_chart
from internvideo.report.recognition import (
    Look,
    add_looks,
    add_recognition,
    confused_pairs,
    confusion_chart,
)
from internvideo.report.reconstructions import (
    Reconstruction,
    error_ratio,
    reconstruction_strip,
    reconstruction_video,
)
from internvideo.report.retrieval import (
    add_retrieval,
    add_retrieval_scores,
    add_retrieval_sheet,
    rank_chart,
    similarity_chart,
    similarity_picture,
)
from internvideo.report.run_files import RunFiles
from internvideo.report.run_report import (
    Section,
    add_reconstructions,
    run_charts,
    write_run_report,
)

__all__ = [
    "DemoFindings",
    "Look",
    "Page",
    "Reading",
    "Reconstruction",
    "RunFiles",
    "Section",
    "Series",
    "Svg",
    "add_captions",
    "add_class_gains",
    "add_gates",
    "add_looks",
    "add_multiple_choice",
    "add_readings",
    "add_recognition",
    "add_reconstructions",
    "add_retrieval",
    "add_retrieval_scores",
    "add_retrieval_sheet",
    "bar_chart",
    "confused_pairs",
    "confusion_chart",
    "enlarge",
    "error_ratio",
    "frames_to_show",
    "heat_map",
    "line_chart",
    "picture_strip",
    "png_bytes",
    "rank_chart",
    "reconstruction_strip",
    "reconstruction_video",
    "run_charts",
    "similarity_chart",
    "similarity_picture",
    "to_bytes",
    "write_demo_report",
    "write_run_report",
]
