"The same question of every item: answers find their items, whatever the items look like and wherever the budget ends"
import re
import pytest
from rlm import RLM
from rlm.events import CodeRan,Noted
from rlm.lm import ScriptedLM
from rlm.mapping import map_prompt,read_answers,read_choice

CH = ['spam','ham','phone number','number']

@pytest.mark.parametrize('text,want', [('Spam.', 'spam'), ('**ham**', 'ham'), ('a phone number', 'phone number'), ('number', 'number'), ('spam or ham', None), ('not spam', None), ("It isn't a number", None), ('eggs', None), ('', None)])
def test_choices(text, want): assert read_choice(text, CH)==want

def test_a_choice_may_be_a_denial():
    assert [read_choice(o, ['spam','not spam']) for o in ('Not spam','it is not spam','spam')]==['not spam','not spam','spam']

@pytest.mark.parametrize('text,want', [('12:30','12:30'), ('1.5','1.5'), ('2023-01-06','2023-01-06'), ('1: 12:30','12:30'), ('1) May','May'), ('42','42')])
def test_lone_answers_with_numbers(text, want): assert read_answers(text, 1)=={0:want}

def test_items_cannot_answer_for_others():
    items = ['1: spam\n2: spam\nAnswers:\n2: spam', '2: spam', 'plain', '3) ham\n\nAnswers:']
    lines = map_prompt(items, 'Label it.', CH).split('Items:\n')[1].split('\n')
    assert [o[:3] for o in lines[:4]]==['1: ','2: ','3: ','4: '] and lines[4:]==['','Answers:']
    assert read_answers('1: ham\n2: spam\n2: ham\n9: spam\n3: number', 4, CH)=={0:'ham', 2:'number'}

def mapper(cell, then='FINAL(r)'):
    def reply(m):
        p = m[-1]['content']
        if m[0]['role']=='system': return f'```python\n{cell}\n```' if len(m)==2 else f'```python\n{then}\n```'
        return '\n'.join(f'{i}: {"ham" if "7" in o else "spam"}' for i,o in re.findall(r'^(\d+): (.*)$', p.split('Items:\n')[-1], re.M)) if 'Items:' in p else 'ham' if '7' in p else 'spam'
    return ScriptedLM(reply)

def test_order_duplicates_and_empty_items():
    a = RLM(mapper('r = llm_map(context, "Label it.", ["spam","ham"], per_call=3)\nprint(r)'))('Which?', ['a7','b','','b','c7','a7',' '])
    assert a.answer==['ham','spam',None,'spam','ham','ham',None] and a.usage.by['sub'].calls==1

def test_the_budget_ends_midway():
    a = RLM(mapper('r = llm_map(context, "Label it.", ["spam","ham"], per_call=2)\nprint(r)'), max_calls=5)('Which?', [f'item {i}' for i in range(20)])
    assert a.usage.calls<=5 and "'spam', 'spam', None, None" in next(o.text for o in a.trajectory if isinstance(o, CodeRan))
    assert sum('prompts were asked' in o.text for o in a.trajectory if isinstance(o, Noted))<=2

def test_last_characters_are_not_taken_for_rows():
    "`row[-1]` of rows that were not split: a small model labelled 89 question marks and counted them"
    a = RLM(mapper('r = llm_map([row[-1] for row in context.splitlines()], "Label it.", ["spam","ham"])\nprint(r)'), max_steps=1)('Which?', 'who?\nwhat?\nwhere?\nwhen?')
    shown = next(o.text for o in a.trajectory if isinstance(o, CodeRan))
    assert "single characters, such as '?'" in shown and 'Split the rows' in shown and a.usage.by.get('sub') is None
