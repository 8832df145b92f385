"""The health of a classifier: whether it is as sure as it is right, answers every slice alike, withstands attacks and dirt, and keeps its training
examples to itself. Each is (measured, arm_name, confidence) → Figure."""
