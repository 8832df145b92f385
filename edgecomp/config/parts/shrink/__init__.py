"""What a recipe says of how its student gets small: searched for, pruned, or quantised."""
