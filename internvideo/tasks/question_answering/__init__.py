"""Question answering: the task, its result, its model, its training."""

from internvideo.tasks.question_answering.model import QuestionAnsweringModel
from internvideo.tasks.question_answering.result import (
    Answers,
    AskedVideos,
    QuestionAnsweringResult,
)
from internvideo.tasks.question_answering.task import (
    QuestionAnswering,
    QuestionData,
    QuestionRequest,
    check_length,
)
from internvideo.tasks.question_answering.training import QuestionAnsweringTraining
from internvideo.tasks.question_answering.vocabulary import named_outputs, read_answers

__all__ = [
    "Answers",
    "AskedVideos",
    "QuestionAnswering",
    "QuestionAnsweringModel",
    "QuestionAnsweringResult",
    "QuestionAnsweringTraining",
    "QuestionData",
    "QuestionRequest",
    "check_length",
    "named_outputs",
    "read_answers",
]
