"""Folders that servers take: Triton's model repository, and OpenVINO Model Server's."""
