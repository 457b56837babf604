import { gzipSync } from 'node:zlib';
import { buildClientScript } from '../../client-script';

test('the drop-in client, all of it, is under 3,072 bytes', () => {
  const size = gzipSync(buildClientScript(), { level: 9 }).length;
  expect(size).toBeLessThan(3072);
  expect(size).toBeGreaterThan(1000); // it is there
});
