import { render } from 'preact';
import { App } from './app';
import { applyTheme } from './shell/theme';
import './style/base.css';
import './style/shell.css';
import './style/parts.css';

applyTheme();
render(<App />, document.getElementById('app')!);
