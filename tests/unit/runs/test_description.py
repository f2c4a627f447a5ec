"""What a checkpoint says of the model it holds."""

from __future__ import annotations

import json

import pytest

from internvideo.hub.pretrained import KINDS, Preprocessing, from_json
from internvideo.recipes import RECIPES, recipe
from internvideo.runs import checkpoint_documents, from_document


@pytest.mark.parametrize("name", RECIPES)
def test_a_checkpoint_tells_its_model_and_its_run(name):
    run = recipe(name)

    document = json.loads(json.dumps(checkpoint_documents(run)["config"]))

    config = from_json(KINDS[document["kind"]][0], document["config"], name)
    seen = from_json(Preprocessing, document["preprocessing"], name)
    assert type(config) is KINDS[document["kind"]][0]
    assert (seen.sampling, seen.crop) == (run.data.sampling, run.data.eval_crop)
    assert from_document(document["run"]) == run
