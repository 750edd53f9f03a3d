"Settings that all tests share"
import os

os.environ.setdefault('RLM_OFFLINE', '1')  # no call may leave this machine

def pytest_configure(config):
    config.addinivalue_line('markers', 'weights: needs the weights of the local model on this machine, and xllamacpp; skipped where they are missing')
