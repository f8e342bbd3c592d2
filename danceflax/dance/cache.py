"""Trains on features of streams that do not train: computed once, kept on disk."""

import functools

import jax

from danceflax.dance import features
from danceflax.dance.inputs import make_prepare, make_transforms
from danceflax.dance.loss import make_features
from danceflax.models.streams import StreamClassifier
from danceflax.training import devices


def is_cacheable(config, classifier, groups):
    """Whether nothing in front of the head trains. Several processes do without the cache."""
    fixed = all(not group["train"] for name, group in groups.items() if name != "head")
    one = jax.process_count() == 1
    return isinstance(classifier.model, StreamClassifier) and fixed and one and config.cache.views


def cache_features(config, classifier, variables, sources, read, folder):
    """The features of two clip sources as sources themselves.

    Args:
      config: the training's; `cache.views` augmented versions are made of each training clip.
      classifier, variables: whose streams to run.
      sources: the clips to train and to evaluate on.
      read: (source, transform, batch_size, training=False) -> iterator of batches.
      folder: of all caches.

    Returns:
      Two `FeatureSource`s; `features.pick_version` and `features.all_versions` are their
      transforms.
    """
    augment, view = make_transforms(classifier)
    versions = features.make_versions(augment, config.cache.views, config.seed)
    run = devices.map_inference(make_features(make_prepare(classifier), classifier.model))
    replicated = devices.replicate(variables)
    still = {
        kind: {name: leaf for name, leaf in tree.items() if name != "head"}
        for kind, tree in variables.items()
    }
    settings = [classifier.inputs, config.data.to_dict(), config.seed, config.cache.views]

    def compute(source, transform):
        names = [source[i]["name"] for i in range(len(source))]
        return features.write_features(
            config.cache.folder or folder,
            features.digest([*settings, transform is versions, names], still),
            lambda: read(source, transform, config.eval.batch_size, training=False),
            functools.partial(run, replicated),
            len(source),
        )

    train, val = sources
    return compute(train, versions), compute(val, view)
