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
QUICK_HEALTH = 100  # examples


def rehearsal(recipe: Recipe) -> Recipe:
    """The `recipe` with at most as many examples, epochs and restarts; an epoch of each stage, where it has stages."""
    parts: dict[str, Any] = {}
    for (part, setting), most in QUICK.items():
        settings = parts.get(part, getattr(recipe, part))
        asked = getattr(settings, setting)
        parts[part] = settings.model_copy(update={setting: most if asked is None else min(asked, most)})
    if stages := [stage.model_copy(update={"epochs": 1}) for stage in recipe.distill.stages]:
        parts["distill"] = parts["distill"].model_copy(update={"stages": stages, "epochs": len(stages)})
    if (lifelong := recipe.distill.lifelong) is not None:
        fewer = lifelong.model_copy(update={"epochs": min(lifelong.epochs, QUICK["distill", "epochs"])})
        parts["distill"] = parts["distill"].model_copy(update={"lifelong": fewer})
    if recipe.teachers is not None:
        most = QUICK["teacher", "epochs"]
        others = {
            name: one.model_copy(update={"epochs": min(one.epochs, most)})
            for name, one in recipe.teachers.others.items()
        }
        parts["teachers"] = recipe.teachers.model_copy(update={"others": others})
    if recipe.search is not None:
        shorter = {"epochs": 1, "restarts": min(recipe.search.restarts, QUICK["bench", "restarts"])}
        parts["search"] = recipe.search.model_copy(update=shorter)
    if recipe.health is not None:
        fewer_examples = min(recipe.health.examples, QUICK_HEALTH)
        parts["health"] = recipe.health.model_copy(update={"examples": fewer_examples})
    return recipe.model_copy(update=parts)
