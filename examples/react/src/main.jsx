import { StrictMode, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { useChannel } from './use-channel.mjs';

function Vote() {
  const [{ votes, people }, setData] = useState({ votes: { yes: 0, no: 0 }, people: 0 });
  const { state, send } = useChannel('/sse', setData);
  return (
    <>
      <h1>Vote</h1>
      <p>Is plain HTTP enough?</p>
      {['yes', 'no'].map((answer) => (
        <button key={answer} disabled={state === 'closed'} onClick={() => send(answer)}>
          {answer}: {votes[answer]}
        </button>
      ))}
      <p role="status">
        {state === 'open' ? `People on this page: ${people}` : `The channel is ${state}`}
      </p>
    </>
  );
}

createRoot(document.getElementById('root')).render(
  <StrictMode>
    <Vote />
  </StrictMode>,
);
