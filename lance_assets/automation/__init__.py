"""What runs by itself: a pure planner, and sensors and jobs that are thin shells over it."""
