import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireProgram, startProgram } from '../../helpers/programs';

export interface NginxOptions {
  /** Parameters of `listen` after the address. */
  listen?: string;
  /** Directives of the `http` block. */
  http?: string;
  /** Directives of the `server` block. */
  server?: string;
  /** Directives of the `location` block. */
  location?: string;
}

export interface Nginx {
  port: number;
  /** Folder to which the paths of the configuration are relative. */
  folder: string;
  stop(): Promise<void>;
}

/**
 * Starts nginx in front of a port, or of several in turn, with its default settings unless the options change them.
 */
export async function startNginx(
  targetPort: number | number[],
  { listen = '', http = '', server = '', location = '' }: NginxOptions = {},
): Promise<Nginx> {
  const path = requireProgram('/usr/sbin/nginx', 'nginx');
  const folder = mkdtempSync(join(tmpdir(), 'sse-duplex-nginx-'));
  const servers = [targetPort].flat().map((target) => `server 127.0.0.1:${target};`);
  const { port, stop } = await startProgram(path, (port) => {
    const configuration = `
      daemon off;
      user root; # the owner of the folder; ignored unless nginx runs as root
      pid nginx.pid;
      events {}
      http {
        access_log off;
        client_body_temp_path client;
        proxy_temp_path proxy;
        fastcgi_temp_path fastcgi;
        uwsgi_temp_path uwsgi;
        scgi_temp_path scgi;
        ${http}
        upstream app { ${servers.join(' ')} }
        server {
          listen 127.0.0.1:${port} ${listen};
          ${server}
          location / {
            proxy_pass http://app;
            ${location}
          }
        }
      }`;
    writeFileSync(join(folder, 'nginx.conf'), configuration);
    return ['-p', folder, '-c', 'nginx.conf', '-e', 'stderr'];
  });
  return {
    port,
    folder,
    async stop() {
      await stop();
      rmSync(folder, { recursive: true });
    },
  };
}
