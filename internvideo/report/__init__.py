"""Pictures, tables and the self-contained HTML page of a run."""

from internvideo.report.demo_report import write_demo_report
from internvideo.report.images import enlarge, picture_strip, png_bytes, to_bytes
from internvideo.report.page import Page
from internvideo.report.plots import Series, Svg, bar_chart, heat_map, line_chart
from internvideo.report.reconstructions import (
    Reconstruction,
    error_ratio,
    reconstruction_strip,
    reconstruction_video,
)
from internvideo.report.run_files import RunFiles
from internvideo.report.run_report import (
    Section,
    add_reconstructions,
    run_charts,
    write_run_report,
)

__all__ = [
    "Page",
    "Reconstruction",
    "RunFiles",
    "Section",
    "Series",
    "Svg",
    "add_reconstructions",
    "bar_chart",
    "enlarge",
    "error_ratio",
    "heat_map",
    "line_chart",
    "picture_strip",
    "png_bytes",
    "reconstruction_strip",
    "reconstruction_video",
    "run_charts",
    "to_bytes",
    "write_demo_report",
    "write_run_report",
]
