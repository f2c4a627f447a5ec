"""Annotation files become records: one reader for each published format.

Nothing behind the readers knows a file format. A new format is one reader and one line below.
"""

from __future__ import annotations

from collections.abc import Callable

from internvideo.data.annotations.boxes import read_ava, read_label_map
from internvideo.data.annotations.choices import read_lsmdc_choice, read_msrvtt_choice
from internvideo.data.annotations.ego4d import (
    read_ego4d_anticipation,
    read_ego4d_hands,
    read_ego4d_queries,
    read_ego4d_state_changes,
)
from internvideo.data.annotations.labelled_boxes import (
    read_box_csv,
    read_coco_video,
    read_cvat_video,
    write_box_csv,
)
from internvideo.data.annotations.lists import (
    read_frame_list,
    read_frame_ranges,
    read_kinetics710,
    read_list,
    read_pretraining_list,
)
from internvideo.data.annotations.localization import (
    read_ego4d_moments,
    read_localization,
    read_segment_csv,
    read_video_scores,
    write_segment_csv,
)
from internvideo.data.annotations.manifest import (
    manifest_from_folder,
    read_folder,
    read_manifest,
    read_videos,
    write_manifest,
)
from internvideo.data.annotations.questions import (
    question_kind,
    read_msrvtt_qa,
    read_msvd_qa,
    read_nextqa,
    read_tgif_qa,
)
from internvideo.data.annotations.recognition import (
    read_hmdb51,
    read_kinetics,
    read_moments,
    read_ucf101,
)
from internvideo.data.annotations.retrieval import (
    read_activitynet_captions,
    read_didemo,
    read_lsmdc,
    read_msrvtt,
    read_msvd,
    read_vatex,
)
from internvideo.data.annotations.something import read_something, read_something_v1
from internvideo.data.annotations.untrimmed import read_activitynet, read_segment_list
from internvideo.data.annotations.web import (
    read_image_text_folder,
    read_image_text_list,
    read_webvid,
)
from internvideo.data.shards import read_shards
from internvideo.values import Annotations

# Each takes the path of its file or folder, `root` (where the videos are) and options of its own.
ANNOTATIONS: dict[str, Callable[..., Annotations]] = {
    "manifest": read_manifest,
    "folder": read_folder,
    "videos": read_videos,
    "kinetics": read_kinetics,
    "kinetics710": read_kinetics710,
    "ucf101": read_ucf101,
    "hmdb51": read_hmdb51,
    "moments-in-time": read_moments,
    "something-something": read_something,
    "something-something-v1": read_something_v1,
    "activitynet": read_activitynet,
    "segment-list": read_segment_list,
    "localization": read_localization,
    "ego4d-moments": read_ego4d_moments,
    "ego4d-queries": read_ego4d_queries,
    "ego4d-hands": read_ego4d_hands,
    "ego4d-state-changes": read_ego4d_state_changes,
    "ego4d-anticipation": read_ego4d_anticipation,
    "segment-csv": read_segment_csv,
    "ava": read_ava,
    "box-csv": read_box_csv,
    "coco-video": read_coco_video,
    "cvat-video": read_cvat_video,
    "list": read_list,
    "frame-list": read_frame_list,
    "frame-ranges": read_frame_ranges,
    "pretraining-list": read_pretraining_list,
    "webvid": read_webvid,
    "image-text-list": read_image_text_list,
    "image-text-folder": read_image_text_folder,
    "msr-vtt": read_msrvtt,
    "msvd": read_msvd,
    "didemo": read_didemo,
    "activitynet-captions": read_activitynet_captions,
    "lsmdc": read_lsmdc,
    "vatex": read_vatex,
    "msr-vtt-choice": read_msrvtt_choice,
    "lsmdc-choice": read_lsmdc_choice,
    "msr-vtt-qa": read_msrvtt_qa,
    "msvd-qa": read_msvd_qa,
    "tgif-qa": read_tgif_qa,
    "next-qa": read_nextqa,
    "shards": read_shards,
}

__all__ = [
    "ANNOTATIONS",
    "manifest_from_folder",
    "question_kind",
    "read_activitynet",
    "read_ava",
    "read_box_csv",
    "read_coco_video",
    "read_cvat_video",
    "read_label_map",
    "read_activitynet_captions",
    "read_didemo",
    "read_ego4d_anticipation",
    "read_ego4d_hands",
    "read_ego4d_moments",
    "read_ego4d_queries",
    "read_ego4d_state_changes",
    "read_folder",
    "read_frame_list",
    "read_frame_ranges",
    "read_hmdb51",
    "read_image_text_folder",
    "read_image_text_list",
    "read_kinetics",
    "read_kinetics710",
    "read_list",
    "read_localization",
    "read_lsmdc",
    "read_lsmdc_choice",
    "read_manifest",
    "read_moments",
    "read_msrvtt",
    "read_msrvtt_choice",
    "read_msrvtt_qa",
    "read_msvd",
    "read_msvd_qa",
    "read_nextqa",
    "read_pretraining_list",
    "read_segment_csv",
    "read_segment_list",
    "read_something",
    "read_something_v1",
    "read_tgif_qa",
    "read_ucf101",
    "read_vatex",
    "read_video_scores",
    "read_videos",
    "read_webvid",
    "write_box_csv",
    "write_manifest",
    "write_segment_csv",
]
