"""What a model answers when somebody means harm, or a sensor is dirty: attacked and corrupted inputs."""
