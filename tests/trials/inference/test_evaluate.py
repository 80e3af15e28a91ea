"""Whole cases scored by a network, by one thread or several."""

from small_jobs import CELL, RECIPE, make_job

from trials.data.prepared.cache import open_cache
from trials.inference.evaluate import Evaluation, evaluate
from trials.training.build import make_network


def test_several_threads_give_the_scores_of_one_in_the_same_order(small_cache, tmp_path):
    job, cache = make_job(small_cache, tmp_path, cell=CELL, recipe=RECIPE), open_cache(small_cache)
    network = make_network(job, cache)
    splits = {"val": job.val, "test": (*job.test, *job.train[:3])}

    one, three = (
        list(evaluate(network, Evaluation(cache=cache, batch_size=2, threads=threads), splits))
        for threads in (1, 3)
    )

    assert [case.scores[0].case for case in three] == [*splits["val"], *splits["test"]]
    assert one == three
