"""How a worker died, read from the texts of Ray 2.60."""

import pytest

from dianet_ray.cluster import deaths
from dianet_ray.cluster.deaths import FOR_MEMORY, UNKNOWN, cause_of, death_of

PROCESS = (
    "The actor died unexpectedly before finishing this task.\n\tclass_name: FoldTrial\n"
    "\tactor_id: 2623a520dfe78c5f1613ad4201000000\n\tpid: 8652\n\tip: 10.0.0.7\n"
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker "
    "exit detail: Worker unexpectedly exits with a connection error code 2. End of file."
)
MEMORY = (
    "1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: "
    "10.0.0.7, ID: d1274b27d6e5d67dd93e6cbd186cdf06c398a60ec194c7189cd932fe) was 23GB / 24GB"
)
NODE = (
    "The actor died unexpectedly before finishing this task.\n\tpid: 8652\n\tip: 10.0.0.7\n"
    "The actor died because its node has died. Node Id: d1274b27"
)


@pytest.fixture
def alive(monkeypatch):
    monkeypatch.setattr(deaths, "_living", lambda host: ["a"] if host == "10.0.0.7" else [])


@pytest.mark.parametrize("text", [PROCESS, MEMORY])
def test_a_process_that_dies_on_a_node_that_lives_died_by_itself(alive, text):
    found = death_of(text)
    assert (found.is_own, found.host) == (True, "10.0.0.7")


@pytest.mark.parametrize("text", [PROCESS, MEMORY])
def test_a_process_whose_node_is_gone_went_with_it(alive, text):
    assert not death_of(text.replace("10.0.0.7", "10.0.0.8")).is_own


@pytest.mark.parametrize("text", [NODE, "", "torch.AcceleratorError: gone"])
def test_anything_else_is_no_death_of_its_own(alive, text):
    assert not death_of(text).is_own


def test_a_kill_for_memory_says_what_to_do(alive):
    assert cause_of(death_of(MEMORY)) == FOR_MEMORY
    assert "--max-workers" in FOR_MEMORY


def test_without_the_node_there_is_nobody_to_ask(alive):
    assert cause_of(death_of(PROCESS.replace("10.0.0.7", "10.0.0.8"))) == UNKNOWN
