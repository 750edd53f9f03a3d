"Everything here is read from settings.ini, the one source of metadata"
import shlex
from configparser import ConfigParser
from pathlib import Path
import setuptools

cfg = ConfigParser(delimiters=['='])
cfg.read('settings.ini', encoding='utf-8')
cfg = cfg['DEFAULT']
extras = {k.removesuffix('_requirements'): shlex.split(v) for k,v in cfg.items() if k.endswith('_requirements')}
extras['all'] = sorted({o for k,v in extras.items() if k!='dev' for o in v})

setuptools.setup(
    name=cfg['lib_name'], version=cfg['version'], description=cfg['description'], author=cfg['author'],
    author_email=cfg['author_email'], url=cfg['git_url'], license='Apache-2.0', keywords=cfg['keywords'],
    classifiers=['Programming Language :: Python :: 3', 'Development Status :: 3 - Alpha', 'Intended Audience :: Developers'],
    python_requires='>='+cfg['min_python'], packages=setuptools.find_packages(include=['rlm','rlm.*']), include_package_data=True,
    install_requires=shlex.split(cfg['requirements']), extras_require=extras,
    long_description=Path('README.md').read_text(encoding='utf-8'), long_description_content_type='text/markdown',
    entry_points={'console_scripts': shlex.split(cfg['console_scripts']), 'nbdev': [f'{cfg["lib_path"]}={cfg["lib_path"]}._modidx:d']})
