"Settings that all tests share"

def pytest_configure(config):
    config.addinivalue_line('markers', 'weights: needs the weights of the local model on this machine, and xllamacpp; skipped where they are missing')
