"""What should not be learnt from: found by rules, each finding with its score in a table that a user may veto; nothing is deleted in place."""
