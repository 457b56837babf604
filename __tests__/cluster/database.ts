import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireProgram } from '../helpers/programs';

/** What the listeners of all nodes have written. */
export interface DatabaseReport {
  rows: number;
  /** Sessions whose rows are the messages 0 to n, each with its own content. */
  complete: number;
  /** Rows that a listener wanted to write again. */
  repeated: number;
}

/** Creates a SQLite database for {@link recordHandled}. */
export function createDatabase() {
  const folder = mkdtempSync(join(tmpdir(), 'sse-duplex-database-'));
  const file = join(folder, 'database');
  query(
    file,
    `PRAGMA journal_mode = WAL;
    CREATE TABLE handled (session TEXT, number INTEGER, content INTEGER, PRIMARY KEY (session, number));
    CREATE TABLE attempts (session TEXT, number INTEGER);`,
  );
  return {
    file,
    read(): DatabaseReport {
      const output = query(
        file,
        `SELECT (SELECT count(*) FROM handled),
          (SELECT count(*) FROM (SELECT 1 FROM handled GROUP BY session
            HAVING min(number) = 0 AND max(number) = count(*) - 1 AND sum(number <> content) = 0)),
          (SELECT count(*) FROM attempts) - (SELECT count(*) FROM handled);`,
      );
      const [rows, complete, repeated] = output.trim().split('|').map(Number);
      return { rows: rows!, complete: complete!, repeated: repeated! };
    },
    remove: () => rmSync(folder, { recursive: true }),
  };
}

/** Writes a message as an application does whose listener may run again: with its session and number as the key. */
export function recordHandled(
  file: string,
  session: string,
  number: number,
  content: number,
): void {
  const values = `'${session.replaceAll("'", "''")}', ${number}`;
  query(
    file,
    `BEGIN IMMEDIATE;
    INSERT INTO attempts VALUES (${values});
    INSERT OR IGNORE INTO handled VALUES (${values}, ${content});
    COMMIT;`,
  );
}

function query(file: string, sql: string): string {
  const program = requireProgram('/usr/bin/sqlite3', 'sqlite3');
  return execFileSync(program, ['-bail', '-cmd', '.timeout 5000', file, sql], { encoding: 'utf8' });
}
