import { useCallback, useEffect, useRef, useState } from 'react';
import { SseClient } from 'sse-duplex/client';

/** Returns the state of the channel, and a function that sends. `onMessage` may change with each render. */
export function useChannel(url, onMessage) {
  const [state, setState] = useState('connecting');
  const client = useRef(null);
  const handler = useRef(onMessage);
  useEffect(() => {
    handler.current = onMessage;
  });
  useEffect(() => {
    const own = (client.current = new SseClient(url));
    own.onopen = own.onreconnect = () => setState('open');
    own.ondisconnect = own.onsessionlost = () => setState('connecting');
    own.onclose = () => setState('closed');
    own.onmessage = ({ data }) => handler.current(data);
    return () => {
      own.onclose = null; // the component is gone
      own.close();
      setState('connecting'); // of the next URL
    };
  }, [url]);
  const send = useCallback((message) => client.current.send(message), []);
  return { state, send };
}
