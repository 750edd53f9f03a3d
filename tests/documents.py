"Small documents, made here: PDF, Word, PowerPoint and Excel files as bytes"
import hashlib,io,zipfile

def _rc4(key, data):
    s,j,out = list(range(256)),0,bytearray()
    for i in range(256):
        j = (j+s[i]+key[i%len(key)])%256
        s[i],s[j] = s[j],s[i]
    i = j = 0
    for b in data:
        i = (i+1)%256
        j = (j+s[i])%256
        s[i],s[j] = s[j],s[i]
        out.append(b^s[(s[i]+s[j])%256])
    return bytes(out)

_pad = bytes.fromhex('28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a')
def _padded(pw): return (pw.encode()+_pad)[:32]
def _hex(b): return b'<'+b.hex().encode()+b'>'

def pdf(*pages, password=None):
    "A PDF with these texts, one a page ('' for a page without text); locked if there is a password (PDF 1.7, 7.6: revision 2)"
    n,objs = len(pages),{}
    objs[1] = b'<< /Type /Catalog /Pages 2 0 R >>'
    objs[2] = b'<< /Type /Pages /Kids ['+b' '.join(b'%d 0 R' % (4+2*i) for i in range(n))+b'] /Count %d >>' % n
    objs[3] = b'<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>'
    ident = hashlib.md5(repr(pages).encode()).digest()
    if password:
        owner = _rc4(hashlib.md5(_padded(password)).digest()[:5], _padded(password))
        key = hashlib.md5(_padded(password)+owner+(0xfffffffc).to_bytes(4,'little')+ident).digest()[:5]
    for i,text in enumerate(pages):
        lines = b' '.join(b'(%s) Tj T*' % l.replace('(','\\(').replace(')','\\)').encode('latin-1') for l in text.split('\n')) if text else b''
        body = b'BT /F1 12 Tf 14 TL 72 720 Td '+lines+b' ET'
        k = 5+2*i
        if password: body = _rc4(hashlib.md5(key+k.to_bytes(3,'little')+b'\0\0').digest()[:10], body)
        objs[4+2*i] = b'<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>' % k
        objs[k] = b'<< /Length %d >>\nstream\n' % len(body)+body+b'\nendstream'
    extra = b' /ID ['+_hex(ident)*2+b']'
    if password:
        objs[4+2*n] = b'<< /Filter /Standard /V 1 /R 2 /P -4 /O '+_hex(owner)+b' /U '+_hex(_rc4(key, _pad))+b' >>'
        extra += b' /Encrypt %d 0 R' % (4+2*n)
    out,at = bytearray(b'%PDF-1.4\n'),{}
    for k,o in sorted(objs.items()):
        at[k] = len(out)
        out += b'%d 0 obj\n' % k+o+b'\nendobj\n'
    start = len(out)
    out += b'xref\n0 %d\n0000000000 65535 f \n' % (len(objs)+1)+b''.join(b'%010d 00000 n \n' % at[k] for k in sorted(at))
    return bytes(out+b'trailer << /Size %d /Root 1 0 R%s >>\nstartxref\n%d\n%%%%EOF' % (len(objs)+1, extra, start))

def zipped(**files):
    "A zip archive of names to bytes; __ in a keyword is /"
    return zip_of({k.replace('__','/'):v for k,v in files.items()})

def zip_of(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as z:
        for k,v in files.items(): z.writestr(k, v)
    return out.getvalue()

_w = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
def docx(*paragraphs, table=()):
    "A Word document"
    ps = ''.join(f'<w:p><w:r><w:t>{p}</w:t></w:r></w:p>' for p in paragraphs)
    rows = ''.join('<w:tr>'+''.join(f'<w:tc><w:p><w:r><w:t>{c}</w:t></w:r></w:p></w:tc>' for c in r)+'</w:tr>' for r in table)
    return zip_of({'[Content_Types].xml':'<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>',
        '_rels/.rels':'<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>',
        'word/document.xml':f'<?xml version="1.0"?><w:document {_w}><w:body>{ps}{"<w:tbl>"+rows+"</w:tbl>" if rows else ""}</w:body></w:document>'})

def pptx(*slides):
    "A presentation with a title on each slide"
    from pptx import Presentation
    p,out = Presentation(),io.BytesIO()
    for s in slides: p.slides.add_slide(p.slide_layouts[5]).shapes.title.text = s
    p.save(out)
    return out.getvalue()

def xlsx(**sheets):
    "A workbook of sheet name to rows"
    from openpyxl import Workbook
    w,out = Workbook(),io.BytesIO()
    w.remove(w.active)
    for k,rows in sheets.items():
        s = w.create_sheet(k)
        for r in rows: s.append(r)
    w.save(out)
    return out.getvalue()
