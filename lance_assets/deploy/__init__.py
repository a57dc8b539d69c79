"""Configuration files for people who run a platform."""
