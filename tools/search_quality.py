"""How well `search` finds, by words and with an embedding model beside them: the forty questions of tests/search_questions.json.

    python tools/search_quality.py                                                    by words alone
    python tools/search_quality.py --embeddings openai/text-embedding-3-small         with that model, too; any name that litellm knows
    python tools/search_quality.py --embeddings openai/NAME --base-url http://127.0.0.1:8000/v1

A question is answered by k passages if one of them holds the words that its author noted. Every second question helped to choose the length of a passage; the others were kept back.
"""
import argparse,json,sys
from pathlib import Path
from pydoc_data.topics import topics

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from rlm.embeddings import EmbeddingLM,Vectors
from rlm.lm import submit,wait
from rlm.search import Index
from rlm.tools import SubCalls

KS = 1,3,5

def place(hits, o): return next((i for i,h in enumerate(hits, 1) if o['place'] in ' '.join(h.text.split())), 99)

def ways(emb)->dict:
    "The rankings to compare: name to a function of a query"
    ix = Index('\n\n'.join(topics.values())).build()
    res = {'words': lambda q: ix.search(q, max(KS))}
    if emb is None: return res
    vs = Vectors(emb, ix, SubCalls(emb))
    def near(q): return wait(submit(vs.near(q, 100)))
    ps = ix.passages()
    class Passage:
        def __init__(self, i): self.text = ps[i]
    return res | {'meaning': lambda q: [Passage(i) for i in near(q)[:max(KS)]], 'words and meaning': lambda q: ix.search(q, max(KS), near(q))}

def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--embeddings', metavar='MODEL')
    p.add_argument('--base-url', metavar='URL')
    a = p.parse_args(argv)
    emb = EmbeddingLM(a.embeddings, base_url=a.base_url, price=0 if a.base_url else None) if a.embeddings else None
    qs = json.loads((ROOT/'tests'/'search_questions.json').read_text(encoding='utf-8'))
    print(f'{"":<20}{"questions":<12}'+''.join(f'in {k:<5}' for k in KS))
    for name,find in ways(emb).items():
        for kind in ('near','far'):
            for half,said in enumerate(('used','kept back')):
                r = [place(find(o['question']), o) for o in [o for o in qs if o['kind']==kind][half::2]]
                print(f'{name:<20}{kind:<5}{said:<10}'+''.join(f'{f"{sum(i<=k for i in r)} of {len(r)}":<9}' for k in KS))

if __name__=='__main__': main()
