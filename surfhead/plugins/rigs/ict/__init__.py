"""The ICT-FaceKit head model."""
