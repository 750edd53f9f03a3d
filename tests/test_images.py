"Images come in as they are, reach the shell and the sub-model, and nothing else goes by that way"
import base64,io,json,re,struct,sys,zlib
from pathlib import Path
import pytest
from fakeserver import FakeServer,Reply
from rlm.confine import IsolationUnavailable
from rlm.context import ContextError,describe,fingerprint,load_context,load_source,source_of
from rlm.core import RLM
from rlm.images import *
from rlm.images import _parts_of
from rlm.lm import LM,LMError,ReplayLM,ScriptedLM,est_tokens
from rlm.sandbox import make_shell
from rlm.shell import CrossError,pack,unpack
from rlm.tools import SubCalls,prep_shell
PIL = pytest.importorskip('PIL.Image')

def made(kind, w=64, h=48, colour=(200,30,40), **kw):
    b = io.BytesIO()
    PIL.new('RGB', (w,h), colour).save(b, kind, **kw)
    return b.getvalue()

def png_of(w, h):
    "A head that says it has that many pixels"
    b = made('PNG', 2, 2)
    head = b[12:16]+struct.pack('>II', w, h)+b[24:29]
    return b[:12]+head+struct.pack('>I', zlib.crc32(head))+b[33:]

KINDS = [('PNG','png',{}), ('JPEG','jpeg',{}), ('JPEG','jpeg',dict(progressive=True)), ('JPEG','jpeg',dict(exif=b'Exif\0\0'+b'x'*60_000)), ('JPEG','jpeg',dict(comment=b'\xff\xc0 not a frame')),
         ('GIF','gif',{}), ('WEBP','webp',{}), ('WEBP','webp',dict(lossless=True)), ('WEBP','webp',dict(exif=b'Exif\0\0'+b'x'*100))]

@pytest.mark.parametrize('kind,name,kw', KINDS)
@pytest.mark.parametrize('w,h', [(1,1), (64,48), (301,7), (3000,2000)])
def test_kind_and_size(kind, name, kw, w, h):
    assert image_kind(made(kind, w, h, **kw))==(name,w,h)

@pytest.mark.parametrize('data', [b'', b'x', b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>', b'<!DOCTYPE html><html></html>', b'%PDF-1.7', b'BM'+b'\0'*60, b'II*\0'+b'\0'*60, b'\x89PNG\r\n\x1a\n<html>'+b'x'*99,
    b'\x89PNG\r\n\x1a\n', b'\xff\xd8\xff', b'\xff\xd8\xff\xe0\x00\x00', b'\xff\xd8\xff\xe0\xff\xff<html>', b'GIF89a', b'GIF89a is a format', b'RIFF1234WEBP', b'RIFF\0\0\0\0WEBPVP8 '+b'x'*40, b'RIFF\0\0\0\0WAVEfmt '+b'\0'*40])
def test_what_is_none(data):
    assert image_kind(data) is None and as_image(data) is None
    with pytest.raises(ImageError, match='save it as one of these'): Image(data)

def test_heads_of_any_bytes():
    import random
    r = random.Random(1)
    for magic in (b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR', b'\xff\xd8\xff', b'GIF89a', b'RIFF\0\0\0\0WEBPVP8X', b'RIFF\0\0\0\0WEBPVP8L/', b'RIFF\0\0\0\0WEBPVP8 abc\x9d\x01\x2a'):
        for _ in range(300): assert image_kind(magic+r.randbytes(r.randrange(60))) is None or True
        for i in range(len(magic)): assert image_kind(magic[:i]) is None
    assert image_kind(b'\xff\xd8'+b'\xff'*2_000_000) is None  # and quickly

def test_zero_pixels():
    assert image_kind(png_of(0, 5)) is None

# As a context

def test_ways_in(tmp_path):
    data = made('PNG')
    (tmp_path/'photo.txt').write_bytes(data)  # by its bytes, not its name
    im = Image(data)
    for o in (tmp_path/'photo.txt', data, bytearray(data), memoryview(data), im, PIL.open(io.BytesIO(data))): assert load_context(o).size==(64,48)
    assert load_context(tmp_path/'photo.txt')==im and load_context({'a':tmp_path/'photo.txt'})=={'a':im}
    (tmp_path/'a.txt').write_text('text')
    assert load_context([tmp_path/'photo.txt', tmp_path/'a.txt'])=={'photo.txt':im, 'a.txt':'text'}
    mixed = load_context(['Page 1', tmp_path/'photo.txt', {'x':[data, PIL.new('RGB', (3,4))]}])
    assert mixed[:2]==['Page 1', im] and [o.size for o in mixed[2]['x']]==[(64,48),(3,4)]

def test_refused(tmp_path):
    for o in (['a', b'<svg/>'], ['a', tmp_path/'no.png'], b'\x89PNG\r\n\x1a\n\0\xff', {'k':[b'text']}):
        with pytest.raises(ContextError): load_context(o)
    (tmp_path/'fake.png').write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    assert load_context(tmp_path/'fake.png').startswith('<svg')  # it is text, and is taken for what it is
    (tmp_path/'bad.png').write_bytes(b'\x89PNG\r\n\x1a\n\0\0garbage')
    with pytest.raises(ContextError): load_context(tmp_path/'bad.png')
    a = [b'x']; a.append(a); a.append(a)
    with pytest.raises(ContextError): load_context(a)

def test_described():
    im = Image(made('PNG'))
    assert describe(im)==f'`context` is an image: png, 64×48 pixels, {im.nbytes:,} bytes.'
    d = describe(['Page 1: a photograph', im, im])
    assert '3 parts (Image and str), 20 characters' in d and '`context[1]` is an image: png, 64×48 pixels' in d
    assert d.endswith("context[0] == 'Page 1: a photograph'")
    d = describe([im,'text','more'])
    assert d.endswith("context[1] == 'text'") and '`context[0]` is an image' in d
    d = describe([im]*9)
    assert 'a list of 9 parts (Image). ' in d and '0 characters' not in d and 'There are 4 more of these' in d

def test_the_same_again(tmp_path):
    p = tmp_path/'x.png'
    p.write_bytes(made('PNG'))
    src = source_of(p, load_context(p))
    json.dumps(src)
    assert load_source(src)==Image(p.read_bytes())
    p.write_bytes(made('PNG', colour=(0,0,0)))
    with pytest.raises(ContextError, match='has changed since'): load_source(src)
    assert len({fingerprint(o) for o in (Image(made('PNG')), [Image(made('PNG'))], Image(made('PNG', 65)), 'x')})==4

# The wire

def test_wire():
    im,blobs = Image(made('PNG')),[]
    j = json.loads(json.dumps(pack({'a':[im, 'x']}, blobs)))
    assert unpack(j, blobs)=={'a':[im,'x']} and unpack(json.loads(json.dumps(pack(im))))==im
    assert isinstance(unpack(pack(PIL.new('L', (5,6)), b:=[]), b), Image)

@pytest.mark.parametrize('v', [None, -1, 5, 1.5, [], {}, True, {'$':'image'}])
def test_wire_lies(v):
    with pytest.raises(CrossError): unpack({'$':'image', 'v':v}, [None])

def test_what_is_no_image_stays_bytes():
    assert unpack({'$':'image', 'v':0}, [b'<svg/>'])==b'<svg/>'

def test_no_blob_twice():
    with pytest.raises(CrossError): unpack([{'$':'image','v':0}]*2, [made('PNG')])

# Prompts

def test_bounds(monkeypatch):
    im = Image(made('PNG'))
    for images,why in (([im]*101, 'too many: at most 100'), ([b'<html>'], "not bytes that begin with b'<html>'"), (['photo.png'], 'not str'), (5, 'not int'), ([Path('x')], 'not'), (png_of(100_000,100_000), '8,000 pixels on a side')):
        with pytest.raises(ImageError, match=re.escape(why)): illustrate('?', images)
    monkeypatch.setattr('rlm.images.MOST_BYTES', 1000)
    with pytest.raises(ImageError, match='bytes of images in one prompt'): illustrate('?', [im]*9)
    assert illustrate('?', None)==illustrate('?', [])=='?' and type(illustrate('?', [])) is str

def test_a_bomb_is_not_decoded():
    "What says it has 100 million pixels and is a few bytes is weighed by what it says, and passed on or refused unopened"
    b = png_of(7999, 7999)
    p = illustrate('?', b)
    assert p.image_tokens==1600 and p.images[0].data==b
    assert est_tokens([dict(role='user', content=content_of(p))])<1700

def test_tokens():
    assert tokens((750,1))==1 and tokens((1092,1092))==1590 and tokens((8000,8000))==1600 and tokens((1,1))==1 and tokens((10_000,10))==4
    p = illustrate('word '*40, [made('PNG', 750, 400)])
    assert abs(est_tokens([dict(role='user', content=content_of(p))])-(400+50+4))<2

def test_content_is_read_back():
    p = illustrate('What?', [made('PNG'), made('JPEG')])
    assert content_text(content_of(p))==p and content_text([dict(type='text', text='x'), dict(type='image_url', image_url=dict(url='http://a/b.png'))])=='x[image: http://a/b.png]\n'

# Models

@pytest.mark.parametrize('direct', [True, False])
def test_the_server_gets_parts(direct):
    data = made('PNG')
    with FakeServer(lambda req: Reply(f'{len(req.messages[-1]["content"])} parts')) as s:
        sub = SubCalls(LM('openai/fake', base_url=s.url, direct=direct, prices=(1,1)))
        assert (sub.lm._way(sub.lm._target(), [dict(role='user', content=content_of(illustrate('?', data)))], {}) is not None)==direct
        assert sub.llm_query('What is it?', images=[Image(data), data]).result(60)=='3 parts'
        a,b,t = s.requests[0].messages[-1]['content']
        assert a==b and a['type']=='image_url' and base64.b64decode(a['image_url']['url'].removeprefix('data:image/png;base64,'))==data and t==dict(type='text', text='What is it?')
        assert sub.llm_query_batched(['a','b','c'], images=[[data], None, []]).result(60)==['2 parts','1 parts','1 parts']

def test_who_can_see():
    assert LM('openai/gpt-4o').can_see() is True and LM('openai/gpt-3.5-turbo').can_see() is False and LM('local').can_see() is False
    assert LM('openai/my-own', base_url='http://127.0.0.1:9/v1').can_see() is None and LM('openai/gpt-3.5-turbo', vision=True).can_see() is True
    assert LM('anthropic/claude-sonnet-4-5').can_see() is True and LM('deepseek/deepseek-chat').can_see() is False and LM('nobody/knows').can_see() is None

def test_a_model_that_cannot_see_is_not_asked():
    sub = SubCalls(ScriptedLM(['x'], vision=False))
    for f in (lambda: sub.llm_query('?', images=[made('PNG')]), lambda: sub.llm_query_batched(['?'], images=[[made('PNG')]])):
        with pytest.raises(ValueError, match='scripted cannot be shown images'): f()
    assert not sub.lm.asked and sub.llm_query('?', images=[]).result(9)=='x'

def test_a_batch_with_one_that_is_none():
    sub = SubCalls(ScriptedLM(lambda m: 'ok'))
    res = sub.llm_query_batched(['a','b',5], images=[[made('PNG')], [b'<svg/>'], None]).result(9)
    assert res[0]=='ok' and res[1].startswith('[llm_query failed: images= takes images') and 'takes a text, not int' in res[2]
    for bad in ([[made('PNG')]], 'x', 5):
        with pytest.raises(ValueError, match='for each of the 2 prompts'): sub.llm_query_batched(['a','b'], images=bad)

def test_the_ledger_counts_them():
    from rlm.budget import Budget,BudgetSpent,Ledger
    sub = SubCalls(ScriptedLM(lambda m: 'ok', max_tokens=10), Ledger(Budget(max_tokens=1000)))
    assert sub.llm_query('?').result(9)=='ok'
    with pytest.raises(BudgetSpent): sub.llm_query('?', images=[made('PNG', 1500, 1500)]).result(9)

def test_cache(tmp_path):
    lm = ScriptedLM(iter(['one','two']), cache=tmp_path/'c.db')
    sub = SubCalls(lm)
    ask = lambda colour: sub.llm_query('?', images=[made('PNG', colour=colour)]).result(9)
    assert [ask((1,1,1)), ask((1,1,1)), ask((2,2,2)), ask((1,1,1))]==['one','one','two','one'] and len(lm.asked)==2

# In the shell

TIERS = ['os','hardened','process','none'] if sys.platform=='linux' else ['process','none']

def shell(isolation, ctx, model, **kw):
    try: return prep_shell(ctx, model=model, isolation=isolation, **kw)
    except IsolationUnavailable as e: pytest.skip(str(e))

def seen(messages):
    "A model that says what it is shown"
    c = messages[-1]['content']
    return c if isinstance(c, str) else ' + '.join(f'{o.format} {o.size[0]}x{o.size[1]}' if isinstance(o, Image) else o for o in _parts_of(c))

@pytest.mark.parametrize('isolation', TIERS)
def test_in_the_shell(isolation):
    ctx = ['A page:', made('PNG', 300, 200), {'photo':made('JPEG', 80, 60)}]
    with shell(isolation, ctx, ScriptedLM(seen)) as sh:
        def run(code): r = sh.run_cell(code); assert not r.error, r.error; return r.value
        assert run('context[1]').startswith('<png image, 300×200 pixels') and run("(context[1].size, context[1].format, context[2]['photo'].nbytes)")==repr(((300,200), 'png', len(ctx[2]['photo'])))
        assert run("llm_query('What?', images=[context[1], context[2]['photo']])")=="'png 300x200 + jpeg 80x60 + What?'"
        assert run("llm_query('What?', images=context[1])")=="'png 300x200 + What?'"
        assert run("llm_query('What?', images=[context[1].crop((0,0,100,50)), context[2]['photo'].resize((40,30)), context[1].pil().rotate(90, expand=True)])")=="'png 100x50 + jpeg 40x30 + png 200x300 + What?'"
        assert run("llm_query_batched(['a','b'], images=[[context[1]],[]])")=="['png 300x200 + a', 'b']"
        assert run("rlm_query('Which?', [context[0], context[1]])").startswith('png 300x200 + ["A page:", "<png image')
        for code,why in (("llm_query('?', images=['context[1]'])", 'not str'), ("llm_query('?', images=[context])", 'not list'), ("llm_query('?', images=[b'<html>'])", 'not bytes'), ("context[1].crop((0,0,999,9))", 'within 0, 0, 300, 200'),
                         ("type(context[1])(b'GIF')", 'no image'), ("llm_query('?', images=[context[1]]*101)", 'at most 100')):
            r = sh.run_cell(code)
            assert r.error and why in r.error, (code, r.text)

@pytest.mark.parametrize('isolation', [o for o in TIERS if o!='none'])
def test_attacks_from_the_child(isolation):
    with shell(isolation, made('PNG', 300, 200), ScriptedLM(seen)) as sh:
        r = sh.run_cell("context.data = b'<svg xmlns=\"http://www.w3.org/2000/svg\"/>'\nllm_query('?', images=[context])")
        assert 'not bytes that begin' in r.error or 'images= takes images' in r.error, r.text
        r = sh.run_cell("llm_query('?', images=[b'\\x89PNG\\r\\n\\x1a\\n'+bytes(65<<20)])")
        assert r.error and 'too large to hand over' in r.error
        r = sh.run_cell("b = bytearray(2<<30)")
        assert r.error_type=='MemoryError' or r.status=='lost'
        sh.run_cell("import struct, socket; s = socket.socket(fileno=3); s.sendall(struct.pack('>III', 2, 1, (2<<30)-1)+b'{}')")  # a frame that promises 2 GB
        r = sh.run_cell('llm_query("are you there?")')
        r = sh.run_cell('llm_query("are you there?")') if r.error else r
        assert r.value=="'are you there?'"
        r = sh.run_cell("FINAL(context)")
        assert isinstance(r.final.value, Image) and r.final.value.size==(300,200)

def test_a_bomb_in_the_child():
    "A black square of 30,000 pixels each way in a few KB: Pillow or the limit of memory stops it, in the child"
    raw = b''.join([b'\x89PNG\r\n\x1a\n', *(struct.pack('>I', len(b))+k+b+struct.pack('>I', zlib.crc32(k+b)) for k,b in ((b'IHDR', struct.pack('>IIBBBBB', 30_000, 30_000, 8, 2, 0, 0, 0)), (b'IDAT', zlib.compress(bytes(50_000_000))), (b'IEND', b'')))])
    with prep_shell(raw, model=ScriptedLM(seen)) as sh:
        assert '30000×30000' in sh.run_cell('context').text
        r = sh.run_cell('context.crop((0,0,10,10))')
        assert r.error and r.error_type in ('DecompressionBombError','MemoryError','OSError','ShellRestarted')
        assert '8,000 pixels on a side' in sh.run_cell("llm_query('?', images=[context])").error

def test_without_pillow():
    with prep_shell(made('PNG'), model=ScriptedLM(seen), isolation='process') as sh:
        r = sh.run_cell("import sys; sys.modules['PIL'] = None; sys.modules['PIL.Image'] = None\ncontext.crop((0,0,5,5))")
        assert r.error_type=='ImportError' and 'rlm[images]' in r.error
        assert sh.run_cell("llm_query('What?', images=[context])").value=="'png 64x48 + What?'"

def test_many_images_cross(tmp_path):
    import random
    r = random.Random(3)
    big = [made('PNG')+r.randbytes(900_000) for _ in range(60)]  # what stands behind the end of an image is none of our business
    with make_shell('auto') as sh:
        sh.stage('context', load_context({'pages':[dict(n=i, image=b) for i,b in enumerate(big)], 'flat':big}))
        assert sh.run_cell("(len(context['flat']), sum(o.nbytes for o in context['flat']), context['pages'][59]['image']==context['flat'][59])").value==repr((60, sum(map(len, big)), True))

# A whole run

def block(code): return f'```python\n{code}\n```'

def test_a_run_its_log_and_its_replay(tmp_path):
    ctx = ['A list of pages', made('PNG', 300, 200), made('JPEG', 1200, 900, quality=95)]
    root = ScriptedLM([block("print(context[0]); a = llm_query('What does the stamp say?', images=[context[1]])\nprint(a)"), block("b = llm_query_batched(['x','y'], images=[[context[2]], [context[1]]])\nprint(b)"), 'FINAL_VAR("a")'])
    a = RLM(root, ScriptedLM(seen), log=tmp_path/'r.jsonl')('What does the stamp say?', ctx)
    assert a.ok and a.answer=='png 300x200 + What does the stamp say?'
    first = root.asked[0][-1]['content']
    assert '`context[1]` is an image: png, 300×200 pixels' in first and 'llm_query(prompt, images=[...])' in first and 'images=[context[1]]' in first
    log = (tmp_path/'r.jsonl').read_text()
    assert len(log)<20_000 and 'base64' not in log and f'[image: png, 300\\u00d7200, {len(ctx[1])} bytes, {Image(ctx[1]).digest}]' in log
    with pytest.raises(ContextError, match='Give it again'): RLM.replay(tmp_path/'r.jsonl')
    b = RLM.replay(tmp_path/'r.jsonl', context=ctx)
    assert (b.answer, b.status, len(b.trajectory))==(a.answer, 'answer', len(a.trajectory))
    with pytest.raises(ContextError, match='not the context of that run'): RLM.replay(tmp_path/'r.jsonl', context=ctx[::-1])
    assert ReplayLM(tmp_path/'r.jsonl', 'sub').complete([dict(role='user', content=content_of(illustrate('x', [ctx[2]])))]).content=='jpeg 1200x900 + x'

def test_resumed_by_digest(tmp_path):
    p = [tmp_path/f'{i}.png' for i in (1,2)]
    for i,o in enumerate(p): o.write_bytes(made('PNG', 30+i, 20))
    code = block("a = [llm_query('?', images=[v]) for v in context.values()]\nprint(a)")
    sub = ScriptedLM(seen)
    a = RLM(ScriptedLM([code, LMError('quota','no money')]), sub, log=tmp_path/'r.jsonl')('What?', p)
    assert a.status=='error' and len(sub.asked)==2
    fresh = ScriptedLM([])
    b = RLM.resume(tmp_path/'r.jsonl', model=ScriptedLM(['FINAL_VAR("a")']), sub_model=fresh)
    assert b.answer==['png 30x20 + ?','png 31x20 + ?'] and not fresh.asked

def test_a_checked_value_from_an_image():
    "The images go along with the words on the form, and with the second try"
    asked,said = [],iter(['three', '3', '4'])
    def sub(m):
        asked.append(m[-1]['content'])
        return next(said)
    root = ScriptedLM([block("n = llm_query('How many boats?', schema=int, images=[context])\nm = llm_query_batched(['And now?'], schema=int, images=[[context]])\nprint(n, m)"), 'FINAL([n, *m])'])
    a = RLM(root, ScriptedLM(sub))('How many?', made('PNG', 300, 200))
    assert a.answer==[3,4] and a.usage.by['sub'].calls==3
    assert all(m[0]['type']=='image_url' and m[1]['text'].startswith(('How many boats?','And now?')) for m in asked) and 'You replied:\nthree' in asked[1][1]['text']

def test_nothing_is_said_of_images_where_there_are_none():
    root = ScriptedLM([block('print(context)'), 'FINAL(x)'])
    RLM(root, ScriptedLM([]))('What?', 'text')
    assert 'images=' not in str(root.asked[0])
    root = ScriptedLM([block('print(context)'), 'FINAL(x)'])
    RLM(root, ScriptedLM([]), max_depth=0)('What?', made('PNG'))
    assert 'images=' not in str(root.asked[0]) and 'is an image' in str(root.asked[0])

def test_children_are_given_images(tmp_path):
    ctx = [made('PNG', 300, 200), 'a note that makes the whole longer']
    root = ScriptedLM([block("print(context[1])\nr = rlm_query('What is on it?', context[0])\nprint(r)"), 'FINAL_VAR("r")'])
    child = iter([block("print(context); s = llm_query('child', images=[context])\nprint(s)"), 'FINAL_VAR("s")'])
    a = RLM(root, ScriptedLM(lambda m: next(child) if m[0]['role']=='system' else seen(m)), max_depth=2, log=tmp_path/'r.jsonl')('What?', ctx)
    assert a.answer=='png 300x200 + child' and 'base64' not in (tmp_path/'r.jsonl').read_text()
    assert RLM.replay(tmp_path/'r.jsonl', context=ctx).answer==a.answer
