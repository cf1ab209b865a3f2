"""The benchmark of a store's latency runs both stages over the same images, one by one and ahead."""

import benchmarks_of
import slow_store


def test_both_stages_read_every_image_of_the_store(tmp_path):
    benchmark = benchmarks_of.load("store_latency")
    index = benchmark.written(tmp_path, wells=1, seed=1)
    assert len(index) == 45
    with slow_store.serve(tmp_path, delay=0.03) as store:
        for run in (benchmark.surveyed, benchmark.stored):
            for requests, least in ((1, 1), (None, 2)):
                store.together = store.count = 0
                assert benchmark.timed(run, index, store, requests=requests) > 0
                assert store.count >= 45 and store.together >= least
                assert requests is None or store.together == 1
