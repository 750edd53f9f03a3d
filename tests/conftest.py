"Settings that all tests share"
import os,signal
import pytest

os.environ.setdefault('RLM_OFFLINE', '1')  # no call may leave this machine

def pytest_configure(config):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # started in the background, a process has Ctrl-C ignored, and so have its children
    config.addinivalue_line('markers', 'weights: needs the weights of the local model on this machine, and xllamacpp; skipped where they are missing')

@pytest.fixture
def bare_env(monkeypatch, tmp_path):
    "No keys and no settings of rlm's in the environment, no weights, and an empty folder to be in"
    for k in list(os.environ):
        if k.endswith('_API_KEY') or k.startswith('RLM_'): monkeypatch.delenv(k)
    monkeypatch.setenv('RLM_HOME', str(tmp_path/'home'))
    monkeypatch.chdir(tmp_path)
