import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, insertNewlineAndIndent } from '@codemirror/commands';
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from '@codemirror/language';
import { lintKeymap } from '@codemirror/lint';
import { EditorState, Prec, StateEffect, StateField } from '@codemirror/state';
import { Decoration, type DecorationSet, EditorView, keymap, placeholder } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { PromQLExtension } from '@prometheus-io/codemirror-promql';
import { basePath } from '../base';
import '../style/promql.css';

export interface EditorOptions {
  doc: string;
  label: string;
  hint: string;
  onChange: (doc: string) => void;
  onRun: (doc: string) => void;
}

export interface Editor {
  setDoc: (doc: string) => void;
  focus: () => void;
  /** Underlines the place of the server's error; undefined clears it. */
  markError: (place?: { from: number; to: number }) => void;
  destroy: () => void;
}

const setError = StateEffect.define<{ from: number; to: number } | undefined>();
const errorMark = Decoration.mark({ class: 'cm-server-error' });

const serverError = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, transaction) {
    for (const effect of transaction.effects) {
      if (!effect.is(setError)) continue;
      const { length } = transaction.state.doc;
      const place = effect.value;
      // An error at the very end has no character of its own: mark the last one.
      const to = place ? Math.min(Math.max(place.to, place.from + 1), length) : 0;
      const from = place ? Math.min(place.from, to - 1) : 0;
      return place && from >= 0 && from < to ? Decoration.set(errorMark.range(from, to)) : Decoration.none;
    }
    return transaction.docChanged ? Decoration.none : marks;
  },
  provide: (field) => EditorView.decorations.from(field),
});

const highlight = HighlightStyle.define([
  { tag: tags.name, class: 'tok-name' },
  { tag: tags.number, class: 'tok-number' },
  { tag: tags.string, class: 'tok-string' },
  { tag: tags.keyword, class: 'tok-keyword' },
  { tag: tags.function(tags.variableName), class: 'tok-function' },
  { tag: tags.labelName, class: 'tok-label' },
  { tag: tags.operator, class: 'tok-operator' },
  { tag: tags.modifier, class: 'tok-keyword' },
  { tag: tags.comment, class: 'tok-comment' },
]);

// One for all panels: it caches metric names, labels and metadata.
const promql = new PromQLExtension().setComplete({
  remote: { url: basePath.replace(/\/$/, ''), httpMethod: 'GET' },
  maxMetricsMetadata: 100_000,
});

export function createEditor(parent: HTMLElement, options: EditorOptions): Editor {
  let silent = false;
  const run = () => {
    options.onRun(view.state.doc.toString());
    return true;
  };
  const view = new EditorView({
    parent,
    state: EditorState.create({
      doc: options.doc,
      extensions: [
        history(),
        indentOnInput(),
        bracketMatching(),
        closeBrackets(),
        autocompletion(),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ 'aria-label': options.label }),
        syntaxHighlighting(highlight),
        promql.asExtension(),
        serverError,
        placeholder(options.hint),
        keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, ...completionKeymap, ...lintKeymap]),
        Prec.high(
          keymap.of([
            { key: 'Enter', run, shift: insertNewlineAndIndent },
            { key: 'Mod-Enter', run },
          ]),
        ),
        EditorView.updateListener.of((update) => {
          if (update.docChanged && !silent) options.onChange(update.state.doc.toString());
        }),
      ],
    }),
  });
  return {
    setDoc(doc) {
      if (doc === view.state.doc.toString()) return;
      silent = true;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: doc } });
      silent = false;
    },
    focus: () => view.focus(),
    markError: (place) => view.dispatch({ effects: setError.of(place) }),
    destroy: () => view.destroy(),
  };
}
