"""Recursive Language Models: answer questions over contexts far too long to read at once"""
__version__ = "0.1.0"
__all__ = ['RLM','Answer','Files','advanced_toolloop','prep_shell','make_run_repl','open_text','REPL_SYSTEM_PROMPT','benchmark_vanilla','benchmark_rlm']

_homes = dict(RLM='core', Answer='answer', Files='files', advanced_toolloop='core', prep_shell='tools', make_run_repl='tools', REPL_SYSTEM_PROMPT='prompts',
              open_text='bigtext', benchmark_vanilla='benchmarks', benchmark_rlm='benchmarks')

def __getattr__(name):  # so that `import rlm` costs nothing until a name is used
    if name not in _homes: raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from importlib import import_module
    return getattr(import_module(f'{__name__}.{_homes[name]}'), name)

def __dir__(): return sorted([*globals(), *_homes])
