/** A piece of a text; one with `href` is a link. */
export interface TextPiece {
  text: string;
  href?: string;
}

const ADDRESS = /https?:\/\/[^\s<>"'`]+/gi;

/** The address as the browser understands it, if it is one of the web: anything else could run a script. */
export function webAddress(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : undefined;
}

/** What belongs to the sentence around an address and not to it. */
function tail(address: string): number {
  let end = address.length;
  for (;;) {
    const last = address[end - 1]!;
    const closes = last === ')' && !address.slice(0, end).includes('(');
    if (!'.,;:!?'.includes(last) && !closes) return end;
    end--;
  }
}

/** A text with its web addresses as links. */
export function linked(text: string): TextPiece[] {
  const out: TextPiece[] = [];
  let done = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    const shown = found.slice(0, tail(found));
    const href = webAddress(shown);
    if (!href) continue;
    if (index > done) out.push({ text: text.slice(done, index) });
    out.push({ text: shown, href });
    done = index + shown.length;
  }
  if (done < text.length) out.push({ text: text.slice(done) });
  return out;
}
