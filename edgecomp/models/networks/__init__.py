"""Our own networks, by what they take: images, texts, rows of numbers. Each is a row of edgecomp.models.TABLE."""
