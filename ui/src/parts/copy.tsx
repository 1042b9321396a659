import { useState } from 'preact/hooks';

export async function copyText(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers refuse the clipboard on plain-HTTP addresses other than localhost.
    const field = document.createElement('textarea');
    field.value = text;
    field.className = 'off-screen';
    document.body.append(field);
    field.select();
    document.execCommand('copy');
    field.remove();
  }
}

export function saveFile(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Copies what `text` returns and says so for a moment. */
export function CopyButton(props: { text: () => string | Promise<string>; children: string; class?: string }) {
  const [said, setSaid] = useState('');
  const copy = async () => {
    try {
      await copyText(await props.text());
      setSaid('Copied');
    } catch {
      setSaid('Failed');
    }
    setTimeout(() => setSaid(''), 1200);
  };
  return (
    <button type="button" class={props.class} onClick={copy} aria-live="polite">
      {said || props.children}
    </button>
  );
}
