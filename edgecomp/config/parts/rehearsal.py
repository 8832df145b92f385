"""What a rehearsal (`quick: true`) of a recipe is."""

from typing import Any

from edgecomp.config.recipe import Recipe

# What a rehearsal has at most.
QUICK = {
    ("data", "limit"): 600,
    ("data", "views"): 2,
    ("teacher", "epochs"): 2,
    ("distill", "epochs"): 2,
    ("quantize", "epochs"): 1,
    ("bench", "restarts"): 2,
    ("bench", "iterations"): 96,
    ("bench", "offline_batches"): 4,
    ("bench", "emulated_examples"): 200,
}


def rehearsal(recipe: Recipe) -> Recipe:
    """The `recipe` with at most as many examples, epochs and restarts; an epoch of each stage, where it has stages."""
    parts: dict[str, Any] = {}
    for (part, setting), most in QUICK.items():
        settings = parts.get(part, getattr(recipe, part))
        asked = getattr(settings, setting)
        parts[part] = settings.model_copy(update={setting: most if asked is None else min(asked, most)})
    if stages := [stage.model_copy(update={"epochs": 1}) for stage in recipe.distill.stages]:
        parts["distill"] = parts["distill"].model_copy(update={"stages": stages, "epochs": len(stages)})
    return recipe.model_copy(update=parts)
