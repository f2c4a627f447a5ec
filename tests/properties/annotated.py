"""Small whole annotation files of every format, by the name of the format."""

from __future__ import annotations

import json
import pickle

ANNOTATED: dict[str, dict[str, bytes]] = {
    "manifest": {
        "m.csv": b"path,label,start_s,end_s,split\na.mp4,run,0,1.5,train\nb.mp4,2,,,val\n"
    },
    "list": {"m.txt": b"a b.mp4 0\nc.mp4 1\nd.mp4 -1\n"},
    "frame-list": {"m.txt": b"a 20 0\nb 30 1\n"},
    "frame-ranges": {"m.txt": b"a 1 20 0\nb 3 30 1\n"},
    "pretraining-list": {"m.txt": b"a.mp4 0 -1\nb 1 20\n"},
    "kinetics": {
        "m.csv": b"label,youtube_id,time_start,time_end,split\nrun,abc,1,11,train\nwalk,d-,2,12,val"
    },
    "activitynet": {
        "m.json": json.dumps(
            {
                "database": {
                    "abc": {
                        "subset": "training",
                        "duration": 20.5,
                        "annotations": [{"segment": [1.0, 5.5], "label": "run"}],
                    }
                }
            }
        ).encode()
    },
    "localization": {
        "m.json": json.dumps(
            {
                "database": {
                    "abc": {
                        "subset": "training",
                        "duration": 20.5,
                        "fps": 25,
                        "annotations": [
                            {"segment": [1.0, 5.5], "label": "run", "label_id": 0},
                            {"segment": [2.0, 7.5], "label": "walk", "label_id": 1},
                        ],
                    }
                }
            }
        ).encode()
    },
    "segment-csv": {
        "m.csv": b"path,start_s,end_s,label,split,duration_s\na,1,2,run,train,9\nb,,,,val,9\n"
    },
    "segment-list": {"m_train.txt": b"abc 9.5 1.5 7.25 0\nd 20 2 9 1\n"},
    "webvid": {"m.csv": b"videoid,contentUrl,duration,page_dir,name\n1,u,PT1S,dir,a dog\n"},
    "msr-vtt": {
        "MSRVTT_data.json": json.dumps(
            {
                "videos": [{"video_id": "video0", "split": "train"}],
                "sentences": [{"video_id": "video0", "caption": "a dog"}],
            }
        ).encode()
    },
    "msr-vtt-choice": {"m.jsonl": b'{"clip_name": "v", "options": ["a", "b"], "answer": 1}\n' * 2},
    "msvd": {
        "raw-captions.pkl": pickle.dumps({"v": [["a", "dog"]]}),
        "train_list.txt": b"v\n",
    },
    "didemo": {
        "train_data.json": json.dumps(
            [{"video": "a.mp4", "description": "a dog", "times": [[0, 1], [0, 0]]}]
        ).encode()
    },
    "activitynet-captions": {
        "train.json": json.dumps(
            {"v_a": {"duration": 9.0, "timestamps": [[0, 3.5]], "sentences": ["a dog"]}}
        ).encode()
    },
    "vatex": {
        "vatex_training_v1.0.json": json.dumps([{"videoID": "a_1_2", "enCap": ["a dog"]}]).encode()
    },
    "lsmdc": {"LSMDC16_annos_training.csv": b"1_A_00.1-00.2\t0\t1\t0\t1\ta dog\n"},
    "ego4d-moments": {
        "m.json": json.dumps(
            {
                "videos": [
                    {
                        "split": "train",
                        "clips": [
                            {
                                "clip_uid": "c",
                                "video_start_sec": 0,
                                "video_end_sec": 9,
                                "annotations": [
                                    {"labels": [{"label": "x", "start_time": 1, "end_time": 2}]}
                                ],
                            }
                        ],
                    }
                ]
            }
        ).encode()
    },
    "something-something": {
        "labels.json": b'{"Pushing something": "0", "Pulling something": "1"}',
        "train.json": b'[{"id": "1", "label": "pushing a cup", "template": "Pushing [something]"}]',
    },
    "ucf101": {
        "classInd.txt": b"1 Run\n2 Walk\n",
        "trainlist01.txt": b"Run/v_Run_g01.avi 1\n",
        "testlist01.txt": b"Walk/v_Walk_g01.avi\n",
    },
    "image-text-folder": {"a.jpg": b"\xff\xd8", "a.txt": b"a dog\na cat\n"},
    "kinetics710": {
        "label_map_k710.txt": b"run\nwalk\n",
        "train.csv": b"a.mp4 0\nb.mp4 1\n",
        "val.csv": b"c.mp4 1\n",
    },
    "hmdb51": {
        "run_test_split1.txt": b"a_run_f_cm_np1.avi 1\nb.avi 2\n",
        "walk_test_split1.txt": b"c.avi 0\nd.avi 1\n",
    },
    "moments-in-time": {
        "moments_categories.txt": b"run,0\nwalk,1\n",
        "trainingSet.csv": b"run/a.mp4,run,3,0\n",
        "validationSet.csv": b"walk/b.mp4,walk,3,0\n",
    },
    "something-something-v1": {
        "v1-labels.csv": b"Pushing a cup\nPulling a cup\n",
        "v1-train.csv": b"1;Pushing a cup\n2;Pulling a cup\n",
        "v1-test.csv": b"3\n",
    },
    "lsmdc-choice": {
        "test.csv": b"0001_Film_00.01.02.003\ta\tb\tc\td\tone\ttwo\tthree\tfour\tfive\t5\n"
    },
    "msr-vtt-qa": {
        "test_qa.json": json.dumps(
            [{"answer": "dog", "id": 3, "question": "What runs?", "video_id": 10}]
        ).encode()
    },
    "msvd-qa": {
        "val_qa.json": json.dumps(
            [{"answer": "dog", "id": 3, "question": "What runs?", "video_id": 1}]
        ).encode(),
        "youtube_mapping.txt": b"-4ws_5_15 vid1\n",
    },
    "tgif-qa": {
        "Test_frameqa_question.csv": b"gif_name\tquestion\tanswer\ttype\tvid_id\tkey\n"
        b"tumblr_1\twhat runs?\tdog\t0\tID1\t1\n"
    },
    "next-qa": {
        "val.csv": b"video,question,answer,qid,type,a0,a1,a2,a3,a4\n1,why,3,0,CW,a,b,c,d,e\n",
        "map_vid_vidorID.json": b'{"1": "0001/1"}',
    },
    "ava": {
        "ava_train.csv": b"a,0902,0.1,0.2,0.5,0.9,1,7\na,902,0.1,0.2,0.5,0.9,2,7\n",
        "ava_train_excluded_timestamps.csv": b"a,0903\n",
        "list.pbtxt": b'item { name: "sit" id: 1 }\nlabel { name: "run"\n label_id: 2\n}',
    },
    "box-csv": {
        "m.csv": b"path,time_s,x1,y1,x2,y2,label,actor,split\n"
        b"a.mp4,1.5,0.1,0.2,0.5,0.9,run,3,train\n"
    },
    "coco-video": {
        "m.json": json.dumps(
            {
                "categories": [{"id": 1, "name": "wave"}],
                "videos": [{"id": 1, "file_name": "a.mp4", "fps": 10}],
                "images": [
                    {"id": 5, "video_id": 1, "frame_id": 20, "width": 200, "height": 100},
                    {"id": 6, "movie": "b", "timestamp": 3, "width": 200, "height": 100},
                ],
                "annotations": [
                    {"image_id": 5, "category_id": 1, "bbox": [20, 10, 100, 50], "track_id": 2},
                    {"image_id": 6, "action_ids": [1], "bbox": [0, 0, 200, 100]},
                ],
            }
        ).encode()
    },
    "ego4d-queries": {
        "nlq_val.json": json.dumps(
            {
                "split": "val",
                "videos": [
                    {
                        "clips": [
                            {
                                "clip_uid": "c",
                                "annotations": [
                                    {
                                        "language_queries": [
                                            {
                                                "query": "Where?",
                                                "clip_start_sec": 1.5,
                                                "clip_end_sec": 4,
                                            }
                                        ]
                                    }
                                ],
                            }
                        ]
                    }
                ],
            }
        ).encode()
    },
    "ego4d-hands": {
        "fho_hands_train.json": json.dumps(
            {
                "split": "train",
                "clips": [
                    {
                        "clip_uid": "c1",
                        "frames": [
                            {
                                "pre_45": {"frame": 30, "boxes": [{"left_hand": [960, 720]}]},
                                "contact_frame": {"frame": 75, "boxes": [{"right_hand": [0, 9]}]},
                            }
                        ],
                    }
                ],
            }
        ).encode()
    },
    "ego4d-state-changes": {
        "fho_scod_train.json": json.dumps(
            {
                "split": "train",
                "clips": [
                    {
                        "clip_uid": "c1",
                        "pnr_frame": {
                            "frame_number": 90,
                            "width": 100,
                            "height": 100,
                            "bbox": [
                                {
                                    "object_type": "object_of_change",
                                    "structured_noun": "cup",
                                    "bbox": {"x": 10, "y": 20, "width": 30, "height": 40},
                                }
                            ],
                        },
                    }
                ],
            }
        ).encode()
    },
    "ego4d-anticipation": {
        "fho_sta_train.json": json.dumps(
            {
                "split": "train",
                "info": {
                    "video_metadata": {"v": {"fps": 30, "frame_width": 100, "frame_height": 50}}
                },
                "noun_categories": [{"id": 0, "name": "cup"}],
                "verb_categories": [{"id": 0, "name": "take"}],
                "annotations": [
                    {
                        "video_uid": "v",
                        "clip_uid": "c1",
                        "clip_frame": 60,
                        "objects": [
                            {
                                "box": [0, 0, 50, 50],
                                "noun_category_id": 0,
                                "verb_category_id": 0,
                                "time_to_contact": 0.8,
                            }
                        ],
                    }
                ],
            }
        ).encode()
    },
    "cvat-video": {
        "m.xml": b"""<?xml version="1.0" encoding="utf-8"?>
<annotations><meta><task><original_size><width>64</width><height>32</height></original_size>
<source>a.mp4</source></task></meta><track id="0" label="person">
<box frame="0" outside="0" xtl="0" ytl="0" xbr="32" ybr="32">
<attribute name="action">sit, wave</attribute></box></track></annotations>"""
    },
    "image-text-list": {
        "m.jsonl": b'{"image_root": "d", "filename": "a.jpg", "caption": "a dog"}\n' * 2
    },
}
# Formats whose path is their folder.
FOLDERS = {
    *("msvd", "didemo", "activitynet-captions", "vatex", "lsmdc", "something-something", "ucf101"),
    "msr-vtt",
    *("image-text-folder", "kinetics710", "hmdb51", "moments-in-time", "something-something-v1"),
    *("msvd-qa", "tgif-qa", "ava"),
}
# Not annotation files: whatever lies in a folder, and shards, which have a test of their own.
OTHERS = {"folder", "videos", "shards"}
