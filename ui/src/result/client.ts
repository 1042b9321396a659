import { ApiError } from '../api/error';
import type { DensityView } from './density';
import type { Grid } from './grid';
import type { QueryAnswer, Reply, Request } from './protocol';

type Pending = { resolve: (value: never) => void; reject: (error: ApiError) => void };
type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;

/** The page's end of a worker that fetches and keeps one query result. */
export class ResultClient {
  private readonly worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  private readonly pending = new Map<number, Pending>();
  private nextId = 1;

  constructor() {
    this.worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      const waiting = this.pending.get(data.id);
      this.pending.delete(data.id);
      if (data.ok) waiting?.resolve(data.value as never);
      else waiting?.reject(new ApiError(data.type, data.message, data.status));
    };
    this.worker.onerror = (event) => {
      for (const { reject } of this.pending.values()) reject(new ApiError('internal', event.message));
      this.pending.clear();
    };
  }

  /** Starts a query, stopping the one under way. With a grid it is a range query. */
  run(url: string, body: string, grid?: Grid): Promise<QueryAnswer> {
    return this.ask({ kind: 'run', url: new URL(url, document.baseURI).href, body, grid });
  }

  rows(indexes: number[]): Promise<Float64Array[]> {
    return this.ask({ kind: 'rows', indexes });
  }

  density(view: DensityView): Promise<Uint8Array> {
    return this.ask({ kind: 'density', view });
  }

  csv(): Promise<string> {
    return this.ask({ kind: 'csv' });
  }

  cancel(): void {
    this.worker.postMessage({ kind: 'cancel' });
  }

  close(): void {
    this.worker.terminate();
    this.pending.clear();
  }

  private ask<T>(request: WithoutId<Request>): Promise<T> {
    const id = this.nextId++;
    return new Promise<T>((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      this.worker.postMessage({ ...request, id });
    });
  }
}
