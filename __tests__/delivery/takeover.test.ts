import { takeOver } from './takeover';

const OFFSETS = Array.from({ length: 1_000 }, (_, i) => i * 60);
const BATCH = 50;

describe('A GET that arrives before the server notices that the old stream broke', () => {
  const batches = Array.from({ length: OFFSETS.length / BATCH }, (_, i) =>
    OFFSETS.slice(i * BATCH, (i + 1) * BATCH),
  );

  it.each(batches.map((batch) => [batch[0]!, batch.at(-1)!, batch]))(
    'resumes the session on one stream and emits no close (noticed after %d to %d ms)',
    async (_from, _to, batch) => {
      for (const offset of batch) await takeOver(offset);
    },
  );
});
