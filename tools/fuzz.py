"""The property tests of tests/, with other examples each time and more of them, for as long as you like.

    python tools/fuzz.py --minutes 10 [--examples 1000] [--seed 0] [-k NAME]

A test run takes the same few examples each time; this looks for those it has not seen. Ends with the first failure, its smallest example, and the seed that finds it again.
"""
import argparse,os,random,subprocess,sys,time
from pathlib import Path

root = Path(__file__).parents[1]

def one_round(seed, examples, k)->int:
    "Run the properties once; pytest's exit code"
    cmd = [sys.executable,'-m','pytest','-q','-x','--tb=short','-p','no:cacheprovider',f'--hypothesis-seed={seed}','-k',k, *map(str, sorted((root/'tests').glob('test_*_properties.py')))]
    return subprocess.run(cmd, cwd=root, env={**os.environ, 'RLM_PROFILE':'more', 'RLM_EXAMPLES':str(examples)}).returncode

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--minutes', type=float, default=10, help='no round begins after this time')
    p.add_argument('--examples', type=int, default=1000, help='examples of each property in a round')
    p.add_argument('--seed', type=int, help='of the first round')
    p.add_argument('-k', default='not the_corpus and not reading_takes', help='which tests, as for pytest')
    a = p.parse_args()
    end,seed,n = time.monotonic()+60*a.minutes,random.randrange(10**6) if a.seed is None else a.seed,0
    while n==0 or time.monotonic()<end:
        print(f'round {n+1}: --seed {seed} --examples {a.examples}', flush=True)
        if code:=one_round(seed, a.examples, a.k): sys.exit(code)
        seed,n = seed+1,n+1
    print(f'{n} rounds, nothing found')

if __name__=='__main__': main()
