"""Pictures, tables and the self-contained HTML page of a run; nothing here knows a task."""

from internvideo.report.axes import short_number
from internvideo.report.clip_strips import frames_to_show
from internvideo.report.coordination import add_class_gains, add_gates, add_reading
from internvideo.report.images import (
    enlarge,
    jpeg_bytes,
    overlaid,
    picture_strip,
    png_bytes,
    to_bytes,
)
from internvideo.report.page import Page, is_page
from internvideo.report.player import Excerpt
from internvideo.report.plots import Series, Svg, bar_chart, heat_map, line_chart, picture_chart
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
from internvideo.report.timeline import Span, timeline_chart
from internvideo.report.tracks import Moment, track_chart

__all__ = [
    "Excerpt",
    "Moment",
    "Page",
    "Reconstruction",
    "RunFiles",
    "Section",
    "Series",
    "Span",
    "Svg",
    "add_class_gains",
    "add_gates",
    "add_reading",
    "add_reconstructions",
    "bar_chart",
    "enlarge",
    "error_ratio",
    "frames_to_show",
    "heat_map",
    "is_page",
    "jpeg_bytes",
    "line_chart",
    "overlaid",
    "picture_chart",
    "picture_strip",
    "png_bytes",
    "reconstruction_strip",
    "reconstruction_video",
    "run_charts",
    "short_number",
    "timeline_chart",
    "to_bytes",
    "track_chart",
    "write_run_report",
]
