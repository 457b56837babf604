import express from 'express';
import { createSseMiddleware } from 'sse-duplex';
import { SseClient } from 'sse-duplex/client';
import roundTrip from './round-trip.cjs';

await roundTrip(express, createSseMiddleware, SseClient);
