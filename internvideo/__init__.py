"""InternVideo in one package: from video files to pretrained, coordinated, adapted encoders."""

__version__ = "0.1.0"
