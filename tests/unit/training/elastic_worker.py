"""What torchrun starts in the test of elastic runs: a toy run with slow steps.

torchrun ... -m tests.unit.training.elastic_worker FOLDER
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import Path

from internvideo.training import joined, train
from tests.unit.training.toy import Toy, toy_config


def main(folder: Path) -> None:
    logging.getLogger("internvideo").setLevel(logging.ERROR)
    config = toy_config(num_steps=30, checkpoint_every=2)
    with joined("cpu") as process:
        order = folder / f"order-{os.getpid()}.jsonl"

        class Slow(Toy):
            """Writes down what it is given, step by step."""

            def prepare(self, batches):
                time.sleep(0.4)
                seen = {
                    "world": process.share.count,
                    "rank": process.share.index,
                    "rows": [row[0].item() for row in batches[0]],
                }
                with order.open("a") as file:
                    file.write(json.dumps(seen) + "\n")
                return batches

        train(
            Slow(config, share=process.share),
            config,
            folder=folder,
            run={"name": "elastic"},
            seed=3,
            process=process,
            resume=True,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
