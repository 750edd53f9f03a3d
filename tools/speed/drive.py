"""Drives one package against the server, in that package's own interpreter; `speed.py` starts it.

    python drive.py PACKAGE '{"urls": [...], "chars": 1000000, ...}'

Each of `urls` is asked one question over a context of `chars` characters, one after the other with the same object. Prints one line of JSON: for each
run the times at which it began and ended and the answer. With `wait` it says when it is ready, and goes on when it is told to.
"""
import json,sys,time

MODEL,QUESTION = 'gpt-5-mini','[[root]] How many of the replies are as they should be?'
LINE = '2026-03-14 The harbour at Torvik was quiet; the ferry left at nine with forty passengers and came back in the fog.\n'

def text(n): return (LINE*(n//len(LINE)+1))[:n] if n<10_000_000 else LINE*(n//len(LINE))

def rlm(job, isolation='auto'):
    from rlm import RLM
    imported()
    def make(url):
        r = RLM('openai/'+MODEL, base_url=url, api_key='x', isolation=isolation)
        return lambda ctx: r(QUESTION, ctx).answer
    return make

def rlm_none(job): return rlm(job, 'none')

def rlms(job):
    from rlm import RLM
    imported()
    def make(url):
        r = RLM(backend='openai', backend_kwargs=dict(model_name=MODEL, base_url=url, api_key='x'))
        return lambda ctx: r.completion(ctx, root_prompt=QUESTION).response
    return make

def minrlm(job):
    from minrlm import RLM
    imported()
    def make(url):
        r = RLM(model=MODEL, base_url=url, api_key='x', max_iterations=20, max_sub_llm_calls=10_000)
        return lambda ctx: r.completion(QUESTION, ctx).response
    return make

def recursive_llm(job):
    from rlm import RLM
    imported()
    def make(url):
        r = RLM('openai/'+MODEL, api_base=url, api_key='x')  # more than its 4 sub-calls at once wait for each other on a small machine
        return lambda ctx: r.complete(QUESTION, ctx)
    return make

def openai(job):
    import functools
    from openai import OpenAI,AsyncOpenAI
    imported()
    def make(url):
        kw = dict(base_url=url, api_key='x', max_retries=0)
        c = OpenAI(**kw)
        return lambda ctx: bare(job, lambda ms: c.chat.completions.create(model=MODEL, messages=ms), lambda: functools.partial(AsyncOpenAI(**kw).chat.completions.create, model=MODEL))
    return make

def litellm(job):
    import functools,litellm
    imported()
    def make(url):
        kw = dict(model='openai/'+MODEL, api_base=url, api_key='x', num_retries=0, max_retries=0)
        return lambda ctx: bare(job, lambda ms: litellm.completion(messages=ms, **kw), lambda: functools.partial(litellm.acompletion, **kw))
    return make

def bare(job, call, client):
    "What a client without a loop does of a script: `steps` turns of a conversation, or `subs` calls"
    import asyncio
    def said(r): return r.choices[0].message.content
    if job.get('subs'):
        ms = [[dict(role='user', content=f'[[sub:{i}]]')] for i in range(job['subs'])]
        async def many():
            acall = client()
            return await asyncio.gather(*[acall(messages=m) for m in ms])
        got = asyncio.run(many()) if job.get('batched') else [call(m) for m in ms]
        return sum(said(r)==f'ok {i}' for i,r in enumerate(got))
    ms = [dict(role='user', content=QUESTION)]
    for i in range(job.get('steps',1)):
        r = call(ms)
        ms += [dict(role='assistant', content=said(r)), dict(role='user', content='Go on.')]
    return said(r)

def imported(): TIMES['import'] = time.perf_counter()-TIMES['start']

TIMES = {}

def status(key, pid='self'):
    "A figure of /proc/PID/status, in bytes"
    with open(f'/proc/{pid}/status') as f: return next((int(l.split()[1])*1024 for l in f if l.startswith(key+':')), 0)

def main():
    package,job = sys.argv[1],json.loads(sys.argv[2])
    TIMES['start'] = time.perf_counter()
    make = globals()[package](job)
    ctx,runs,asks = text(job.get('chars',1000)),[],{}
    if job.get('wait'):
        print(json.dumps(dict(rss=status('VmRSS'), chars=len(ctx))), flush=True)
        sys.stdin.readline()
    for url in job['urls']:
        t,ans,err = time.monotonic(),None,None
        try:
            if url not in asks: asks[url] = make(url)
            ans = asks[url](ctx)
        except Exception as e: err = f'{type(e).__name__}: {e}'[:300]
        runs.append(dict(start=t, end=time.monotonic(), answer=str(ans), error=err))
    print(json.dumps(dict(runs=runs, imported=TIMES['import'], peak=status('VmHWM'))), flush=True)

if __name__=='__main__': main()
