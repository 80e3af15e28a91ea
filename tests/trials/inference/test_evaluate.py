"""Whole cases scored by a network, by one thread or several."""

from dataclasses import replace

from small_jobs import RECIPE, make_job

from trials.data.prepared.cache import open_cache
from trials.inference.evaluate import Evaluation, evaluate
from trials.training.build import make_network


def test_several_threads_give_the_scores_of_one_in_the_same_order(small_cache, tmp_path):
    recipe = replace(RECIPE, log_frequency_bias=False)
    job, cache = make_job(small_cache, tmp_path, recipe=recipe), open_cache(small_cache)
    network = make_network(job, cache)
    splits = {"val": job.val[:1], "test": job.test}

    one, three = (
        list(evaluate(network, Evaluation(cache=cache, batch_size=2, threads=threads), splits))
        for threads in (1, 3)
    )

    assert [case.scores[0].case for case in three] == [*splits["val"], *splits["test"]]
    assert one == three
