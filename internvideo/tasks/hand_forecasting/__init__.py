"""Where the hands will be at five moments before and at the contact with an object."""

from internvideo.tasks.hand_forecasting.task import (
    ForecastHands,
    HandForecaster,
    HandForecasting,
    HandForecastingResult,
)
from internvideo.tasks.hand_forecasting.training import HandForecastingTraining, HandTargets

__all__ = [
    "ForecastHands",
    "HandForecaster",
    "HandForecasting",
    "HandForecastingResult",
    "HandForecastingTraining",
    "HandTargets",
]
